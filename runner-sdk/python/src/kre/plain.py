"""A worker whose functions are all plain ones: everything happens on the main thread, without an event loop."""

from __future__ import annotations

import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from kre.channel import Inbox
from kre.context import Context
from kre.runs import Runs, Try, awaitable, outcome

if TYPE_CHECKING:
    import asyncio

_LOOK_EVERY = 0.001
"""Seconds that Stop may go unseen while there is something to do, beside the time that a handler takes."""


class Plain:
    """Calls a module's functions one at a time."""

    def __init__(self, inbox: Inbox, runs: Runs) -> None:
        self._inbox = inbox
        self._runs = runs
        self._loop: asyncio.AbstractEventLoop | None = None

    def init(self) -> None:
        """Call the module's init, if it has one; what it raises comes through."""
        if (function := self._runs.handlers.init) is not None:
            self._finished(function(Context(self._runs.process)))

    def serve(self) -> None:
        """Handle runs until the runner says Stop."""
        inbox, runs, looked = self._inbox, self._runs, 0.0
        while not inbox.stopping:
            if not inbox.runs:
                inbox.wait()
                continue
            run = inbox.runs.popleft()
            if not runs.passes_by(run):
                self._handle(Try(runs, run))
            if inbox.runs and time.perf_counter() - looked > _LOOK_EVERY:  # is Stop behind them?
                inbox.look()
                looked = time.perf_counter()
        runs.refuse(list(inbox.runs))

    def close(self) -> None:
        """Close the event loop, if one was needed."""
        if self._loop is not None:
            self._loop.close()

    def _handle(self, attempt: Try) -> None:
        context = copy_context()  # of its own, so that nothing leaks from one message to another
        try:
            result = context.run(attempt.call, attempt.choose())
            if awaitable(result):
                result = context.run(self._finished, result)
        except BaseException as error:
            attempt.end(None, error)
        else:
            attempt.end(result, None)

    def _finished(self, result: Any) -> Any:
        """Return what a call returned, or what its coroutine returns."""
        if not awaitable(result):
            return result
        if self._loop is None:
            import asyncio  # noqa: PLC0415 (it costs 10 MiB, and a plain function seldom returns a coroutine)

            self._loop = asyncio.new_event_loop()
        result, error = self._loop.run_until_complete(outcome(result))
        if error is not None:
            raise error
        return result
