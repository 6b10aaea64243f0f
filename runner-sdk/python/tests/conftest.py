"""Fixtures, and the running of tests that are coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import PATIENCE, Start, Worker

LIMIT = 5 * PATIENCE
"""Seconds that a test may take."""


def pytest_configure() -> None:
    """Has workers find signals as a terminal's programs do: nohup, and a shell's `&`, have some of them ignored."""
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, signal.default_int_handler if ignored is signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}), LIMIT))
    return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers of a source text; they are ready unless that is not wanted, and end with the test."""
    with contextlib.ExitStack() as workers:

        def begin(code: str, *, ready: bool = True, **hello: Any) -> Worker:
            worker = workers.enter_context(Worker(tmp_path, code, **hello))
            if ready:
                worker.ready()
            return worker

        yield begin
