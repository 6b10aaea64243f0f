"""Log lines of a node: one JSON object, or one line of text, per record, on standard output."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone

from kre.errors import one_line, text_of, user_traceback

LOGGER = logging.getLogger("kre.node")
"""The logger behind ctx.logger."""


@dataclass(slots=True)
class Labels:
    """Ids that a record carries when it belongs to a message."""

    request_id: str = ""
    message_id: str = ""
    attempt: int = 0


LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
"""Names of the levels from which on lines are written."""
_NO_LABELS = Labels()
LABELS: ContextVar[Labels] = ContextVar("kre_labels", default=_NO_LABELS)
"""Labels of the message that the running code handles; gives other loggers' lines their ids, too."""


@dataclass(frozen=True)
class Failure:
    """A handler's error, as a record carries it."""

    where: str
    """File and line of the user's code, "" if the error comes from elsewhere."""
    error: str
    """The error on one line."""
    attempt: str
    """Which attempt of how many it was."""


_LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}


def _level(record: logging.LogRecord) -> str:
    return _LEVELS.get(record.levelname, record.levelname.lower())


def _labels(record: logging.LogRecord) -> Labels:
    labels = getattr(record, "kre", None)
    return labels if isinstance(labels, Labels) else LABELS.get()


def _failure(record: logging.LogRecord) -> Failure | None:
    failure = getattr(record, "kre_failure", None)
    return failure if isinstance(failure, Failure) else None


def _trace(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return user_traceback(error) if error is not None else ""


class JSONFormatter(logging.Formatter):
    """One JSON object per record."""

    def __init__(self, version: str, workflow: str, node: str) -> None:
        super().__init__()
        self._node = {"workflow": workflow, "node": node, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": _level(record),
            "message": record.getMessage(),
            **self._node,
        }
        labels = _labels(record)
        if labels.request_id:
            line |= {
                "request_id": labels.request_id,
                "message_id": labels.message_id,
                "attempt": labels.attempt,
            }
        if failure := _failure(record):
            line |= {"where": failure.where, "error": failure.error}
        elif record.exc_info and record.exc_info[1]:
            line["error"] = one_line(text_of(record.exc_info[1]))
        if trace := _trace(record):
            line["stack"] = trace
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One line for a person: node, level, the first characters of the request's id, message."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; a traceback follows on lines of its own."""
        request = _labels(record).request_id[:6]
        words = [self._node + " ", _level(record).upper(), request]
        if failure := _failure(record):
            words += [failure.where, failure.error, f"attempt {failure.attempt}"]
        else:
            words.append(record.getMessage())
        line = " ".join(word for word in words if word)
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line


class _Stdout(logging.Handler):
    """Writes to whatever sys.stdout is at the time, a line at once."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except Exception:
            self.handleError(record)


def configure(form: str, level: str, version: str, workflow: str, node: str) -> None:
    """Send every record of the process from a level on to standard output; form is "json" or "text"."""
    handler = _Stdout()
    handler.setFormatter(TextFormatter(node) if form == "text" else JSONFormatter(version, workflow, node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for noisy in ("nats", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
