import hashlib
from pathlib import Path

import kre
import pytest
from google.protobuf.struct_pb2 import Struct
from src.client_metrics import main


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    certificate = tmp_path / "certificate"
    certificate.write_bytes(b"one")
    return {"HTTPS_CERT": str(certificate)}


def report(**fields: object) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def test_adds_up_by_client(env: dict[str, str]) -> None:
    kre.testing.call(main, report(client="acme", requests=3), env=env)
    kre.testing.call(main, report(client="other", requests=1), env=env)
    answer = kre.testing.call(main, report(client="acme", requests=2), env=env).one(Struct)
    assert answer["requests"] == 5
    assert answer["certificate"] == hashlib.sha256(b"one").hexdigest()


@pytest.mark.parametrize("fields", [{}, {"client": "acme"}, {"client": "acme", "requests": "3"}])
def test_refuses_a_report_that_is_none(env: dict[str, str], fields: dict[str, object]) -> None:
    assert isinstance(kre.testing.call(main, report(**fields), env=env).error, kre.FinalError)
