"""The log of a worker: every record of the module logging goes to the runner over the socket.

No handler of `logging` does that, because an author's `dictConfig`, `basicConfig(force=True)` or `root.handlers = …`
would remove it, and `disable_existing_loggers`, which is on unless it is turned off, would silence the author's own
loggers. Instead, two things of the class logging.Logger are replaced, once, in the worker: `callHandlers` hands a
record to the runner before it hands it to the author's handlers, and `disabled` tells a logger that the author
disabled from one that logging.config did: the latter's records go to the runner and nowhere else.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone
from typing import Any

from kre.channel import Channel
from kre.errors import text_of, user_traceback
from kre.log import run_of
from kre.texts import one_line, shortened, valid
from kre.worker_pb2 import FromWorker, Hello, Level

_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
"""Levels of logging, by their numbers in the protocol."""
_NAMES = {"WARNING": "warn", "CRITICAL": "fatal"}
_SILENCED = "_kre_silenced"
_original = logging.Logger.callHandlers


def _level(record: logging.LogRecord) -> Level:
    if record.levelno >= logging.ERROR:
        return Level.LEVEL_ERROR
    if record.levelno >= logging.WARNING:
        return Level.LEVEL_WARN
    return Level.LEVEL_INFO if record.levelno >= logging.INFO else Level.LEVEL_DEBUG


def _texts(record: logging.LogRecord) -> list[str]:
    """Return message, error and stack of a record."""
    error = record.exc_info[1] if record.exc_info else None
    told = one_line(text_of(error)) if error is not None else ""
    stack = user_traceback(error) if error is not None else record.exc_text or record.stack_info or ""
    return shortened([record.getMessage(), told, stack])


class JSONFormatter(logging.Formatter):
    """One JSON object per record."""

    def __init__(self, version: str, workflow: str, node: str) -> None:
        super().__init__()
        self._node = {"workflow": workflow, "node": node, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON, valid UTF-8."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds")
        message, error, stack = _texts(record)
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": _NAMES.get(record.levelname, record.levelname.lower()),
            "message": message,
            **self._node,
        }
        run = run_of(record)
        if run.request_id:
            line |= {"request_id": run.request_id, "message_id": run.message_id, "attempt": run.attempt}
        if error:
            line["error"] = error
        if stack:
            line["stack"] = stack
        return valid(json.dumps(line, ensure_ascii=False))


class Records:
    """Takes the records of this process to the runner; those of a forked child go to standard error."""

    def __init__(self, channel: Channel, hello: Hello) -> None:
        self._level = _LEVELS.get(hello.log_level, logging.INFO)
        self._channel = channel
        self._formatter = JSONFormatter(hello.version, hello.workflow, hello.node)
        self._quiet = logging.NullHandler()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, from any thread."""
        if record.levelno < self._level:
            return
        try:
            if self._channel.forked:
                _write_stderr((self._formatter.format(record) + "\n").encode())
            else:
                self._channel.send(self._frame(record))
        except Exception:
            self._quiet.handleError(record)

    @staticmethod
    def _frame(record: logging.LogRecord) -> bytes:
        frame, run = FromWorker(), run_of(record)
        line = frame.log
        line.time_unix_ns = int(record.created * 1e9)
        line.level = _level(record)
        line.message, line.error, line.stack = _texts(record)
        line.request_id, line.message_id, line.attempt = run.request_id, run.message_id, run.attempt
        return Channel.encoded(frame)

    def install(self) -> None:
        """Take every record of the process from now on."""
        root = logging.getLogger()
        # Not empty, so that neither lastResort nor a library's basicConfig prints what the runner gets anyway.
        root.handlers[:] = [self._quiet]
        root.setLevel(self._level)
        logging.getLogger("kre").setLevel(self._level)  # ctx.logger's, whatever becomes of the root's
        logging.getLogger("asyncio").setLevel(logging.WARNING)

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            self.emit(record)
            if not vars(logger).get(_SILENCED):
                _original(logger, record)

        logging.Logger.callHandlers = call_handlers  # type: ignore[assignment, method-assign]
        logging.Logger.disabled = _Disabled()  # type: ignore[assignment]


class _Disabled:
    """The attribute `disabled` of loggers."""

    def __get__(self, logger: logging.Logger | None, owner: type | None = None) -> Any:
        return self if logger is None else vars(logger).get("disabled", False)

    def __set__(self, logger: logging.Logger, value: bool) -> None:
        by_config = sys._getframe(1).f_globals.get("__name__") == "logging.config"
        vars(logger)[_SILENCED] = bool(value) and by_config
        vars(logger)["disabled"] = value and not by_config


def _write_stderr(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]
