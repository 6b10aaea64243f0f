"""The ends of a worker and of the processes that its author's code makes of it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import NoReturn

from kre.errors import user_traceback

FAILED = 1
"""Exit code of a process that could not start or go on."""
_PATIENCE = 1.5
"""Seconds that what the author left running may take to end."""


def end_in_time(code: int) -> None:
    """Make sure that the process ends, even if a thread of the author's does not."""

    def end() -> None:
        time.sleep(_PATIENCE)
        end_now(code)

    threading.Thread(target=end, name="kre-end", daemon=True).start()


def end_now(code: int) -> NoReturn:
    """End the process without a word to anybody; what was printed gets out."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def end_child(error: BaseException | None) -> NoReturn:
    """End a forked process that came to the end of the handler it was forked in, as Python ends a program."""
    code = 0
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            code = error.code
        elif error.code is not None:
            code = FAILED
            print(error.code, file=sys.stderr)
    elif error is not None:
        code = FAILED
        print(user_traceback(error), file=sys.stderr)
    end_now(code & 0xFF)
