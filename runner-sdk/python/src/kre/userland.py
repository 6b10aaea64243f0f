"""Where user code runs: one thread that imports the module and calls it, and one beside it.

The module's own thread runs an event loop if any of its handlers is asynchronous, and the calls themselves if none
is; the other thread does the other thing, so that synchronous code never stands in the loop's way. The broker's
traffic is on neither. Jobs are handed over in order and run one at a time; the next one starts without asking the
broker's loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from kre.context import Context
from kre.handlers import Handler, Handlers
from kre.log import LABELS, Labels
from kre.message import Message
from kre.outputs import Outputs

_log = logging.getLogger("kre")


@dataclass(eq=False)
class Job:
    """One attempt of a handler at a message; when it is done, `error` is None if the handler returned."""

    message: Message
    context: Context
    outputs: Outputs
    labels: Labels
    error: BaseException | None = None
    began: float = 0.0
    """When its handler was called, on the clock of time.perf_counter."""
    seconds: float = 0.0
    """How long that took."""


class Userland:
    """Runs a module. `done` is called when a job has ended, in the thread in which it did, and must not wait."""

    def __init__(self, load: Callable[[], Handlers], done: Callable[[Job], None]) -> None:
        self._load = load
        self._done = done
        self._handlers: Handlers | None = None
        self._loaded: Future[Handlers] = Future()
        self._loop = asyncio.new_event_loop()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._jobs: deque[Job] = deque()
        self._wakeup = asyncio.Event()
        self._awake = False
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.running: Job | None = None
        """The job whose handler runs now; any thread may look."""

    # Start and stop

    def start(self) -> Future[Handlers]:
        """Import the module in its thread; the result is its handlers or what the import raised."""
        threading.Thread(target=self._main, name="kre-user", daemon=True).start()
        return self._loaded

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            handlers = self._load()
        except BaseException as error:
            self._loaded.set_exception(_bearable(error))
            return
        self._handlers = handlers
        here, beside = self._run_loop, self._run_calls
        if self._sync_only(handlers):
            asyncio.set_event_loop(None)
            here, beside = beside, here
        threading.Thread(target=beside, name="kre-user-2", daemon=True).start()
        self._loaded.set_result(handlers)
        here()

    @staticmethod
    def _sync_only(handlers: Handlers) -> bool:
        return handlers.all_sync()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)  # again: the module may have called asyncio.run
        driver = self._loop.create_task(self._drive())
        while not self._stopping:
            try:
                self._loop.run_forever()
            except BaseException:  # sys.exit() in a task of the user's; handlers do not get here
                _log.exception("a background task tried to end the process")
        driver.cancel()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def _run_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def stop(self) -> None:
        """Let both threads end; what still runs is not waited for."""
        self._stopping = True
        self._calls.put(None)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def init(self, context: Context) -> Future[None]:
        """Run the module's init, if it has one."""
        assert self._handlers is not None, "init comes after start"
        future: Future[None] = Future()
        function = self._handlers.init

        def call() -> None:
            try:
                result = function(context) if function is not None else None
            except BaseException as error:
                future.set_exception(_bearable(error))
                return
            if inspect.isawaitable(result):
                self._loop.call_soon_threadsafe(self._keep, self._settle(result, future))
            else:
                future.set_result(None)

        if self._sync_only(self._handlers):
            self._calls.put(call)
        else:
            self._loop.call_soon_threadsafe(call)
        return future

    async def _settle(self, result: Any, future: Future[None]) -> None:
        try:
            await result
        except BaseException as error:
            future.set_exception(_bearable(error))
        else:
            future.set_result(None)

    def _keep(self, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Jobs

    def submit(self, job: Job) -> None:
        """Queue a job behind the others."""
        self._jobs.append(job)
        assert self._handlers is not None, "jobs come after start"
        if self._sync_only(self._handlers):
            self._calls.put(self._next)
        elif not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._wakeup.set)

    def take_back(self) -> list[Job]:
        """Remove and return the jobs that have not begun."""
        taken: list[Job] = []
        while True:
            try:
                taken.append(self._jobs.popleft())
            except IndexError:
                return taken

    def _next(self) -> None:
        try:
            job = self._jobs.popleft()
        except IndexError:  # it was taken back
            return
        self._begin(job)
        try:
            handler = self._choose(job)
            result = contextvars.copy_context().run(self._call, job, handler)
            if inspect.isawaitable(result):  # a plain function that returned a coroutine
                result, error = asyncio.run_coroutine_threadsafe(_outcome(result), self._loop).result()
                if error is not None:
                    raise error
            self._take(job, result)
        except BaseException as error:
            job.error = error
        self._end(job)

    async def _drive(self) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            # Lowered before looking: a job that is appended from here on sets the event again.
            self._awake = False
            while True:
                try:
                    job = self._jobs.popleft()
                except IndexError:
                    break
                task = self._loop.create_task(self._attempt(job))
                try:
                    await task
                except asyncio.CancelledError:
                    if self._stopping:
                        raise

    async def _attempt(self, job: Job) -> None:
        self._begin(job)
        try:
            handler = self._choose(job)
            if handler.is_async:
                result = await self._call(job, handler)
            else:
                result = await self._beside(job, handler)
                if inspect.isawaitable(result):
                    result = await result
            self._take(job, result)
        except BaseException as error:
            job.error = error
        self._end(job)

    async def _beside(self, job: Job, handler: Handler) -> Any:
        """Call a synchronous handler on the other thread."""
        done: asyncio.Future[tuple[Any, BaseException | None]] = self._loop.create_future()
        context = contextvars.copy_context()

        def call() -> None:
            try:
                outcome = (context.run(self._call, job, handler), None)
            except BaseException as error:
                # Carried as a value: a future refuses StopIteration and rewraps others.
                self._loop.call_soon_threadsafe(done.set_result, (None, error))
            else:
                self._loop.call_soon_threadsafe(done.set_result, outcome)

        self._calls.put(call)
        result, error = await asyncio.shield(done)
        if error is not None:
            raise error
        return result

    def _choose(self, job: Job) -> Handler:
        assert self._handlers is not None
        return self._handlers.choose(job.message.sender)

    def _call(self, job: Job, handler: Handler) -> Any:
        LABELS.set(job.labels)
        return handler.function(job.context, handler.argument(job.message.body, job.message.sender))

    def _take(self, job: Job, result: Any) -> None:
        assert self._handlers is not None
        if self._handlers.typed and result is not None:
            job.context.send_output(result)
        if job.outputs.refused is not None:
            raise job.outputs.refused

    def _begin(self, job: Job) -> None:
        job.began = time.perf_counter()
        self.running = job

    def _end(self, job: Job) -> None:
        self.running = None
        job.seconds = time.perf_counter() - job.began
        job.outputs.close()
        self._done(job)


async def _outcome(awaitable: Any) -> tuple[Any, BaseException | None]:
    """Return a result or an error; SystemExit, raised, would stop the loop as well."""
    try:
        return await awaitable, None
    except BaseException as error:
        return None, error


def _bearable(error: BaseException) -> BaseException:
    """Return an error that a future accepts: it refuses StopIteration."""
    if isinstance(error, StopIteration):
        bearable = RuntimeError(f"StopIteration: {error}")
        return bearable.with_traceback(error.__traceback__)
    return error
