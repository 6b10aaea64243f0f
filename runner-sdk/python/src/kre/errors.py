"""Errors of the SDK, and how an error of user code is told."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from types import TracebackType


class FinalError(Exception):
    """Raise it (or a subclass) in a handler when another attempt cannot help.

    The message is dead-lettered at once and the caller gets the text. The subclasses of this package say that the
    mistake is the caller's: the caller gets their code as well, and there is no dead letter.
    """

    code = 0
    """A number of google.rpc.Code that the caller gets; 0 is INTERNAL."""


class InvalidArgument(FinalError):
    """What the caller asked for makes no sense, whatever state things are in."""

    code = 3


class DeadlineExceeded(FinalError):
    """The caller's time was over before the work was done."""

    code = 4


class NotFound(FinalError):
    """What the caller asked for is not there."""

    code = 5


class AlreadyExists(FinalError):
    """What the caller wanted to make is there already."""

    code = 6


class PermissionDenied(FinalError):
    """The caller is known and may not do this."""

    code = 7


class ResourceExhausted(FinalError):
    """The caller has used up what it may use."""

    code = 8


class FailedPrecondition(FinalError):
    """Something else has to be done first."""

    code = 9


class Aborted(FinalError):
    """Somebody else was faster; the caller may begin anew."""

    code = 10


class OutOfRange(FinalError):
    """What the caller asked for lies past the end."""

    code = 11


class Unimplemented(FinalError):
    """Nobody does this here."""

    code = 12


class Unavailable(FinalError):
    """Not at the moment: the caller may ask again later."""

    code = 14


class Unauthenticated(FinalError):
    """The caller has not said who it is."""

    code = 16


class UsageError(Exception):
    """A module uses the SDK in a way that cannot work; found when it is loaded."""


class NotAvailableError(FinalError, NotImplementedError):
    """A service of ctx that this version of KRE does not offer yet."""


class StartError(Exception):
    """The process cannot start, or go on, for a reason that its text tells a person."""


_PLAIN: dict[type[BaseException], str] = {
    kind: re.sub("(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
    for kind in (
        FinalError,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        OutOfRange,
        Unimplemented,
        Unavailable,
        Unauthenticated,
    )
}
"""Errors whose name the caller does not see, and their text if they have none."""


def text_of(error: BaseException) -> str:
    """Return the error as callers and dead letters see it, without file and line."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception as broken:
        message = f"its text cannot be read ({type(broken).__name__})"
    if (plain := _PLAIN.get(type(error))) is not None:
        return message or plain
    return f"{name}: {message}" if message else name


def code_of(error: BaseException) -> int:
    """Return the code that an error has for the caller, whatever a subclass of the author's calls `code`."""
    return next((kind.code for kind in type(error).__mro__ if issubclass(kind, FinalError) and kind in _PLAIN), 0)


@cache
def _libraries() -> tuple[str, ...]:
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), os.path.dirname(__file__)}
    return tuple(os.path.realpath(path) + os.sep for path in paths)


def place_of(trace: TracebackType | None, root: Path) -> str:
    """Return "file:line" of the innermost frame in user code, relative to root; "" if there is none."""
    found = ""
    base = os.path.realpath(root) + os.sep
    for frame in traceback.extract_tb(trace):
        name = os.path.realpath(frame.filename)
        if name.startswith(base) and not name.startswith(_libraries()):
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
