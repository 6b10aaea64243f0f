"""A worker with functions that are `async def`: the main thread runs an event loop, which also reads the socket.

Plain handlers are called on one other thread, always the same, so that none of them stands in the loop's way. A plain
init is called where they are; where there are none, on the loop's thread, where all handlers run. Runs are begun in
their order, so many at a time as the runner says; a plain handler waits for the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from kre.channel import Inbox
from kre.context import Context
from kre.errors import StartError
from kre.handlers import Handler, is_async
from kre.runs import Runs, Try, awaitable, outcome

_log = logging.getLogger("kre")


class Looped:
    """Calls a module's functions: the asynchronous ones on the main thread's loop, the others beside it."""

    def __init__(self, inbox: Inbox, runs: Runs, concurrency: int) -> None:
        self._inbox = inbox
        self._runs = runs
        self._most = max(1, concurrency)
        self._running = 0
        self._failure: StartError | None = None
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._base = copy_context()
        """What tasks begin with, so that nothing leaks from one message to another."""
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        beside = threading.Thread(target=copy_context().run, args=[self._run_calls], name="kre-plain", daemon=True)
        beside.start()

    # Init

    def init(self) -> None:
        """Call the module's init, if it has one; what it raises comes through."""
        if (function := self._runs.handlers.init) is None:
            return
        context = Context(self._runs.process)
        task = self._loop.create_task(self._init(function, context))
        task.add_done_callback(lambda _: self._loop.stop())
        self._spin(task.done)
        _, error = task.result()
        if error is not None:
            raise error

    async def _init(self, function: Callable[..., Any], context: Context) -> tuple[Any, BaseException | None]:
        if is_async(function):
            return await outcome(_called(function, context))
        if self._runs.handlers.any_sync:
            return await self._beside(lambda: function(context))
        try:
            result = function(context)
        except BaseException as error:
            return None, error
        return await outcome(result) if awaitable(result) else (result, None)

    async def _beside(self, call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Call something on the other thread."""
        done: asyncio.Future[tuple[Any, BaseException | None]] = self._loop.create_future()

        def run() -> None:
            try:
                made = call(), None
            except BaseException as error:
                # Carried as a value: a future refuses StopIteration and rewraps others.
                self._loop.call_soon_threadsafe(done.set_result, (None, error))
            else:
                self._loop.call_soon_threadsafe(done.set_result, made)

        self._calls.put(run)
        result, error = await done
        return await outcome(result) if error is None and awaitable(result) else (result, error)

    # Runs

    def serve(self) -> None:
        """Handle runs until the runner says Stop."""
        self._loop.add_reader(self._inbox.fileno(), self._go_on)
        self._loop.call_soon(self._go_on)
        self._spin(lambda: self._failure is not None or (self._inbox.stopping and not self._running))
        self._loop.remove_reader(self._inbox.fileno())
        if self._failure is not None:
            raise self._failure

    def _go_on(self) -> None:
        """Begin what may be begun; the runner is asked first whether to stop."""
        inbox = self._inbox
        try:
            inbox.look()
            while inbox.runs and not inbox.stopping and self._running < self._most:
                self._begin()
                inbox.look()
        except StartError as error:
            self._failure = error
        if inbox.stopping:
            self._runs.refuse(list(inbox.runs))
            inbox.runs.clear()
        if self._failure is not None or (inbox.stopping and not self._running):
            self._loop.stop()

    def _begin(self) -> None:
        run = self._inbox.runs.popleft()
        if self._runs.passes_by(run):
            return
        attempt = Try(self._runs, run)
        try:
            handler = attempt.choose()
        except Exception as error:
            attempt.end(None, error)
            return
        self._running += 1
        if handler.is_async:
            # A copy, since a context cannot be entered twice.
            task = self._base.copy().run(self._loop.create_task, self._await(attempt, handler))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._calls.put(lambda: self._call(attempt, handler))

    async def _await(self, attempt: Try, handler: Handler) -> None:
        try:
            result = attempt.call(handler)
            if awaitable(result):
                result = await result
        except BaseException as error:
            attempt.end(None, error)
        else:
            attempt.end(result, None)
        self._ended()

    def _ended(self) -> None:
        self._running -= 1
        self._go_on()

    # The other thread

    def _run_calls(self) -> None:
        while True:
            self._calls.get()()

    def _call(self, attempt: Try, handler: Handler) -> None:
        try:
            result = copy_context().run(self._call_within, attempt, handler)
        except BaseException as error:
            attempt.end(None, error)
        else:
            attempt.end(result, None)
        self._loop.call_soon_threadsafe(self._ended)

    def _call_within(self, attempt: Try, handler: Handler) -> Any:
        result = attempt.call(handler)
        if awaitable(result):  # a plain function that returned a coroutine
            result, error = asyncio.run_coroutine_threadsafe(outcome(result), self._loop).result()
            if error is not None:
                raise error
        return result

    # The loop

    def _spin(self, done: Callable[[], bool]) -> None:
        """Run the loop, whatever its tasks do, until something is so; whoever makes it so stops the loop."""
        while not done():
            try:
                self._loop.run_forever()
            except KeyboardInterrupt:
                raise
            except BaseException:  # sys.exit() in a task of the author's; handlers do not get here
                _log.exception("a background task tried to end the process")

    def close(self) -> None:
        """Cancel what the author left running, and let it end."""
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(BaseException):
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=1))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())


async def _called(function: Callable[..., Any], context: Context) -> Any:
    return await function(context)
