"""Errors of the SDK, and how an error of user code is told in one line."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType


class FinalError(Exception):
    """Raise it (or a subclass) in a handler when another attempt cannot help.

    The message is dead-lettered at once and the caller gets the text.
    """


class UsageError(Exception):
    """A module uses the SDK in a way that cannot work; found when it is loaded."""


class NotAvailableError(NotImplementedError):
    """A service of ctx that this version of KRE does not offer yet."""


class StartError(Exception):
    """The process cannot start, or go on, for a reason that its text tells a person."""


def text_of(error: BaseException) -> str:
    """Return the error as callers and dead letters see it, without file and line."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception as broken:
        message = f"its text cannot be read ({type(broken).__name__})"
    if type(error) is FinalError:
        return message or "final error"
    return f"{name}: {message}" if message else name


def one_line(text: str, limit: int = 4 * 1024) -> str:
    """Return text on one line, of at most limit bytes in UTF-8."""
    joined = " ".join(text.split())
    if len(encoded := joined.encode("utf-8", "replace")) <= limit:
        return joined
    return encoded[: max(0, limit - 3)].decode("utf-8", "ignore") + "…"[: max(0, limit // 3)]


_LIBRARIES = tuple(
    os.path.realpath(path) + os.sep
    for path in {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), os.path.dirname(__file__)}
)


def place_of(trace: TracebackType | None, root: Path) -> str:
    """Return "file:line" of the innermost frame in user code, relative to root; "" if there is none."""
    found = ""
    base = os.path.realpath(root) + os.sep
    for frame in traceback.extract_tb(trace):
        name = os.path.realpath(frame.filename)
        if name.startswith(base) and not name.startswith(_LIBRARIES):
            found = f"{os.path.relpath(name, base)}:{frame.lineno}"
    return found


def user_traceback(error: BaseException) -> str:
    """Return the traceback of an error without the frames of this package that lie above user code."""
    trace = error.__traceback__
    package = os.path.dirname(__file__) + os.sep
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((package, "<frozen importlib")):
        trace = trace.tb_next
    if trace is None and not isinstance(error, SyntaxError):  # that one names its own file and line
        trace = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
