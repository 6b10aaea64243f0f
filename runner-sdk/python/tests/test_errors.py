"""How errors read, and what their code is."""

from __future__ import annotations

from pathlib import Path

import pytest

import kre
from kre import errors
from kre.errors import FinalError


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class BadCarat(kre.InvalidArgument):
    code = 99


class Coded(kre.FinalError):
    def __init__(self, code: str) -> None:
        super().__init__(f"code {code}")
        self.code = code  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("nmae"), "KeyError: 'nmae'"),
        (ValueError("two\nlines"), "ValueError: two\nlines"),
        (ValueError(), "ValueError"),
        (FinalError("no such customer"), "no such customer"),
        (FinalError(), "final error"),
        (kre.NotFound("no such customer"), "no such customer"),
        (kre.NotFound(), "not found"),
        (BadCarat("it is negative"), "BadCarat: it is negative"),
        (kre.NotAvailableError("not yet"), "NotAvailableError: not yet"),
        (SystemExit(3), "SystemExit: 3"),
        (Unreadable(), "Unreadable: its text cannot be read (RuntimeError)"),
    ],
)
def test_an_errors_text(error: BaseException, text: str) -> None:
    assert errors.text_of(error) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (kre.InvalidArgument(), 3),
        (kre.DeadlineExceeded(), 4),
        (kre.NotFound(), 5),
        (kre.AlreadyExists(), 6),
        (kre.PermissionDenied(), 7),
        (kre.ResourceExhausted(), 8),
        (kre.FailedPrecondition(), 9),
        (kre.Aborted(), 10),
        (kre.OutOfRange(), 11),
        (kre.Unimplemented(), 12),
        (kre.Unavailable(), 14),
        (kre.Unauthenticated(), 16),
        (kre.FinalError(), 0),
        (kre.NotAvailableError(), 0),
        (BadCarat(), 3),
        (Coded("X17"), 0),
        (ValueError(), 0),
    ],
    ids=repr,
)
def test_an_errors_code_is_that_of_its_class_whatever_it_calls_code_itself(error: BaseException, code: int) -> None:
    assert errors.code_of(error) == code


def test_every_code_has_one_class() -> None:
    codes = [found.code for found in vars(errors).values() if isinstance(found, type) and issubclass(found, FinalError)]
    assert sorted(code for code in codes if code) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16]


def test_a_service_that_is_not_there_is_final_and_not_implemented() -> None:
    assert issubclass(kre.NotAvailableError, kre.FinalError)
    assert issubclass(kre.NotAvailableError, NotImplementedError)


def test_the_place_of_an_error_is_the_innermost_line_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text("import json\n\ndef f():\n    json.loads('{')\n")
    code = compile((tmp_path / "node.py").read_text(), str(tmp_path / "node.py"), "exec")
    names: dict[str, object] = {}
    exec(code, names)
    with pytest.raises(ValueError, match="Expecting") as raised:
        names["f"]()  # type: ignore[operator]
    assert errors.place_of(raised.tb, tmp_path) == "node.py:4"
    assert errors.place_of(raised.tb, tmp_path / "elsewhere") == ""
