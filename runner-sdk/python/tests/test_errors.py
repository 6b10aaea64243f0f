"""How errors and log lines read."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from kre import errors, log
from kre.config import NodeConfig
from kre.pull import MOST, Pace


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("nmae"), "KeyError: 'nmae'"),
        (ValueError("two\nlines"), "ValueError: two\nlines"),
        (ValueError(), "ValueError"),
        (errors.FinalError("no such customer"), "no such customer"),
        (errors.FinalError(), "final error"),
        (SystemExit(3), "SystemExit: 3"),
        (Unreadable(), "Unreadable: its text cannot be read (RuntimeError)"),
    ],
)
def test_an_errors_text(error: BaseException, text: str) -> None:
    assert errors.text_of(error) == text


def test_one_line_is_one_line_and_no_longer_than_asked() -> None:
    assert errors.one_line(" a\n b\r\n\tc ") == "a b c"
    assert errors.one_line("é" * 100, 20) == "é" * 8 + "…"
    assert errors.one_line("x" * 100, 0) == ""
    assert len(errors.one_line("é" * 5000).encode()) <= 4096


def test_the_place_of_an_error_is_the_innermost_line_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text("import json\n\ndef f():\n    json.loads('{')\n")
    code = compile((tmp_path / "node.py").read_text(), str(tmp_path / "node.py"), "exec")
    names: dict[str, object] = {}
    exec(code, names)
    with pytest.raises(ValueError, match="Expecting") as raised:
        names["f"]()  # type: ignore[operator]
    assert errors.place_of(raised.tb, tmp_path) == "node.py:4"
    assert errors.place_of(raised.tb, tmp_path / "elsewhere") == ""


def test_text_lines_are_for_people() -> None:
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "it is %s", ("hot",), None)
    assert log.TextFormatter("greet").format(record) == "greet  WARN it is hot"
    record.kre = log.Labels("01JD8ABCDEF", "m", 1)
    assert log.TextFormatter("greet").format(record) == "greet  WARN 01JD8A it is hot"
    record.kre_failure = log.Failure("src/greet/main.py:7", "KeyError: 'nmae'", "1/1")
    expected = "greet  WARN 01JD8A src/greet/main.py:7 KeyError: 'nmae' attempt 1/1"
    assert log.TextFormatter("greet").format(record) == expected


def test_a_formatter_outlives_a_broken_record(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log.configure("json", "info", "v", "w", "n")
        logging.getLogger("somebody").info("%d", "not a number")
        logging.getLogger("somebody").info("good")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    captured = capsys.readouterr()
    assert '"message": "good"' in captured.out
    assert "not a number" in captured.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read .*: No such file or directory"),
        ("{", "is not a node's configuration"),
        ("{}", "lacks the key 'version'"),
        ("[]", "is not a node's configuration"),
    ],
)
def test_a_bad_configuration_is_told(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.StartError, match=f"KRE_CONFIG: .*{complaint}"):
        NodeConfig.load(str(path))


def test_what_a_process_holds_follows_its_handlers_speed() -> None:
    pace = Pace()
    assert pace.window() == 1
    pace.handled(0.01, 100)
    assert pace.window() == 10
    for _ in range(50):
        pace.handled(0.0001, 100)
    assert pace.window() == MOST
    for _ in range(50):
        pace.handled(2.0, 100)
    assert pace.window() == 1
    for _ in range(50):
        pace.handled(0.0001, 8 * 1024 * 1024)
    assert pace.window() == 8


def test_importing_the_package_does_not_import_the_broker() -> None:
    import subprocess

    script = "import sys, kre; kre.testing; print([m for m in sys.modules if m.split('.')[0] == 'nats'])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": errors_src()}
    )
    assert done.stdout.strip() == "[]"


def errors_src() -> str:
    return str(Path(errors.__file__).parents[1])
