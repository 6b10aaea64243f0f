"""The lives of the messages that a process holds: which handler runs when, and what follows until the message ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kre import wire
from kre.broker import Broker, TooLarge
from kre.config import NodeConfig
from kre.context import Attempt, Context, Process
from kre.errors import FinalError, one_line, place_of, text_of
from kre.handlers import Handlers
from kre.log import LABELS, Failure, Labels
from kre.message import Message
from kre.outputs import Outputs, Sent
from kre.pull import Pace, Puller
from kre.replies import Ending
from kre.runs import Runs
from kre.starts import DEADLY, DEATHS, SUSPECT, Starts
from kre.store import Store
from kre.userland import Job, Userland
from kre.wire import Kind

_log = logging.getLogger("kre")
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
"""Seconds before another attempt, doubling from the first to the longest."""
MOST_CONFIRMING = 256
"""Runs that may wait for confirmations; past it no handler is started."""
MOST_RETRYING = 256
"""Messages that may wait for another attempt; past it none are pulled."""
AHEAD_OF_USER = 16
"""Jobs handed to the user's thread, so that it need not wait for the broker's."""


@dataclass(eq=False)
class Held:
    """A message in this process."""

    message: Message
    puller: Puller
    early: list[asyncio.Task[bool]] = field(default_factory=list)
    pending: bool = True
    """Its handler has not returned: it counts as held by its puller."""


@dataclass(eq=False, kw_only=True)
class _Try(Job):
    """A job, and the message's life that waits for it; None means that it never began."""

    held: Held
    ended: asyncio.Future[_Try | None]


@dataclass(slots=True)
class _Early:
    """Something that a running handler sends at once."""

    job: _Try
    sent: Sent
    running_us: int


class Lives:
    """Sees messages to their ends. Belongs to the event loop of the broker's traffic.

    `on_returned` is called when a message's handler has returned for the first time (or never will), `on_ended` when
    nothing is left to do for the message.
    """

    def __init__(
        self,
        node: NodeConfig,
        process: Process,
        broker: Broker,
        on_returned: Callable[[Held], None],
        on_ended: Callable[[Held], None],
    ) -> None:
        self.pace = Pace()
        self.stopping = asyncio.Event()
        """Set when nothing new may begin."""
        self._node = node
        self._process = process
        self._broker = broker
        self._on_returned = on_returned
        self._on_ended = on_ended
        self._loop = asyncio.get_running_loop()
        store = Store(broker)
        self.runs = Runs(broker, store, node, self.stopping)
        self._starts = Starts(store, node.starts, node.id)
        self._userland: Userland
        self._handlers: Handlers
        self._ready: deque[Held] = deque()
        self._due: deque[asyncio.Future[bool]] = deque()
        self._alone: Held | None = None
        self._alone_began = False
        self._in_user = 0
        self._confirming = 0
        self._retrying = 0
        self._happened: deque[Job | _Early] = deque()
        self._told = False
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, userland: Userland, handlers: Handlers) -> None:
        """Take what the module is made of, once it is loaded."""
        self._userland, self._handlers = userland, handlers

    @property
    def may_pull(self) -> bool:
        """Whether there is room for more messages, however fast the handler is."""
        return self._retrying < MOST_RETRYING

    def begin(self, held: Held) -> None:
        """Take a message on."""
        self._ready.append(held)
        self._pump()

    async def drain(self, seconds: float) -> None:
        """Give back what has not begun, and see the rest to its end for so long."""
        self.stopping.set()
        if self._alone is not None and not self._alone_began:
            self._ready.append(self._alone)
            self._alone = None
        while self._ready:
            held = self._ready.popleft()
            await self.runs.give_back(held.message)
            self._end(held)
        for turn in self._due:
            if not turn.done():
                turn.set_result(False)
        for job in self._userland.take_back():
            self._in_user -= 1
            if isinstance(job, _Try) and not job.ended.done():
                job.ended.set_result(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            _log.warning("stopping before a message has ended: it will be handled again")
            task.cancel()

    # Choosing what runs next

    def _pump(self) -> None:
        if self.stopping.is_set():
            return
        while self._alone is None and self._in_user < AHEAD_OF_USER:
            if self._in_user + self._confirming >= MOST_CONFIRMING:
                return
            if self._due:
                turn = self._due.popleft()
                if not turn.done():
                    self._in_user += 1
                    turn.set_result(True)
            elif self._ready:
                self._begin(self._ready.popleft())
            else:
                return
        if self._alone and not self._alone_began and self._in_user == 0 and self._confirming == 0:
            self._alone_began = True
            self._live(self._handle_alone(self._alone), self._alone)

    def _begin(self, held: Held) -> None:
        if self._handlers.typed and held.message.kind is not Kind.OK:
            self._confirming += 1
            self._live(self._pass_by(held), held)
        elif held.message.delivery.count >= SUSPECT:
            self._alone, self._alone_began = held, False
        else:
            self._in_user += 1
            self._live(self._handle(held), held)

    def _live(self, life: Coroutine[Any, Any, None], held: Held) -> None:
        task = self._loop.create_task(self._see_through(life, held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, life: Coroutine[Any, Any, None], held: Held) -> None:
        try:
            await life
        except Ending:
            await self.runs.give_back(held.message)
        except Exception:
            _log.exception("message %s was not brought to an end: it will be handled again", held.message.id)
        finally:
            self._end(held)
            if self._alone is held:
                self._alone = None
            self._pump()

    def _end(self, held: Held) -> None:
        self._returned(held)
        self._on_ended(held)

    def _returned(self, held: Held) -> None:
        if held.pending:
            held.pending = False
            self._on_returned(held)

    # The life of a message

    async def _pass_by(self, held: Held) -> None:
        """Let an error or an early message go past typed handlers."""
        self._returned(held)
        try:
            if held.message.kind is Kind.ERROR:
                await self.runs.forward_error(held.message)
            else:
                await self.runs.acknowledge(held.message)
        finally:
            self._confirming -= 1

    async def _handle(self, held: Held) -> None:
        while True:
            job = await self._attempt(held)
            if job is None:
                break
            if await self._settle(held, job):
                return
            if not await self._pause(held):
                break
        await self.runs.give_back(held.message)

    async def _handle_alone(self, held: Held) -> None:
        """Handle a message that may have ended this process's predecessors; nothing runs beside it."""
        message = held.message
        count = await self._starts.count(message.id)
        if count >= DEADLY:
            text = f"the process ended {DEATHS} times while it handled this message"
            with self._labelled(message):
                _log.error("%s: it goes to the dead letters", text)
            await self.runs.exhausted(message, text, DEATHS)
        else:
            await self._starts.record(message.id, count + 1)
            try:
                while True:
                    self._in_user += 1
                    job = await self._attempt(held)
                    if job is not None and await self._settle(held, job):
                        break
                    if job is None or await self._stopped_within(self._retry_delay(message)):
                        await self.runs.give_back(message)
                        break
            except Ending:  # no death: it is not counted
                await self._starts.forget(message.id)
                raise
        await self._starts.forget(message.id)

    async def _attempt(self, held: Held) -> _Try | None:
        """Have the handler run; None if the process stops before it began."""
        if self.stopping.is_set():
            self._in_user -= 1
            return None
        message = held.message
        message.attempts += 1
        labels = Labels(message.request_id, message.id, message.attempts)
        outputs = Outputs(self._broker.max_payload - wire.HEADER_RESERVE)
        attempt = Attempt(message.request_id, message.id, message.sender, message.kind, message.attempts, outputs)
        job = _Try(
            message=message,
            context=Context(self._process, attempt),
            outputs=outputs,
            labels=labels,
            held=held,
            ended=self._loop.create_future(),
        )
        outputs.on_early = partial(self._early, job)
        self._userland.submit(job)
        return await job.ended

    async def _settle(self, held: Held, job: _Try) -> bool:
        """Do what follows an attempt; whether the message has come to its end."""
        message, error = held.message, job.error
        try:
            if error is None:
                try:
                    await self.runs.succeeded(message, job.outputs.sent, held.early)
                    return True
                except TooLarge as too_large:
                    error = FinalError(str(too_large))
            text = text_of(error)
            last = (
                isinstance(error, FinalError)
                or message.kind is not Kind.OK
                or message.attempts >= self._node.max_attempts
            )
            self._log_failure(message, error, last)
            await self.runs.attempt_failed(message, text)
            if not last:
                return False
            for task in held.early:
                await task
            if message.kind is Kind.OK:
                await self.runs.exhausted(message, text, message.attempts)
            else:
                await self.runs.acknowledge(message)
            return True
        finally:
            self._confirming -= 1

    def _log_failure(self, message: Message, error: BaseException, last: bool) -> None:
        place = place_of(error.__traceback__, self._process.root)
        most = self._node.max_attempts if message.kind is Kind.OK else 1
        attempt = f"{message.attempts}/{most}"
        if isinstance(error, FinalError) and message.attempts < most:
            attempt += ", final"
        with self._labelled(message):
            _log.log(
                logging.ERROR if last else logging.WARNING,
                "handler failed" if last else "handler failed, it will be tried again",
                exc_info=None if isinstance(error, FinalError) and not place else error,
                extra={"kre_failure": Failure(place, one_line(text_of(error)), attempt)},
            )

    @staticmethod
    @contextmanager
    def _labelled(message: Message) -> Iterator[None]:
        token = LABELS.set(Labels(message.request_id, message.id, message.attempts))
        try:
            yield
        finally:
            LABELS.reset(token)

    @staticmethod
    def _retry_delay(message: Message) -> float:
        return min(FIRST_RETRY * 2.0 ** min(message.attempts - 1, 16), LONGEST_RETRY)

    async def _pause(self, held: Held) -> bool:
        """Wait for the next attempt's time and turn while others go on; whether it came."""
        self._retrying += 1
        try:
            self._pump()
            if await self._stopped_within(self._retry_delay(held.message)):
                return False
            turn: asyncio.Future[bool] = self._loop.create_future()
            self._due.append(turn)
            self._pump()
            return await turn
        finally:
            self._retrying -= 1

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    # What the user's threads tell

    def _early(self, job: _Try, sent: Sent) -> None:
        self.tell(_Early(job, sent, int((time.perf_counter() - job.began) * 1e6)))

    def tell(self, what: Job | _Early) -> None:
        """Report a job's end or an early reply; any thread may."""
        self._happened.append(what)
        if not self._told:
            self._told = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop is closed: the process ends
                return

    def _collect(self) -> None:
        self._told = False
        while self._happened:
            what = self._happened.popleft()
            if isinstance(what, _Early):
                held = what.job.held
                held.early.append(self.runs.early(held.message, what.sent, what.running_us))
            elif isinstance(what, _Try):
                # From here on it waits for confirmations, though its life learns of it a little later.
                self._in_user -= 1
                self._confirming += 1
                self.pace.handled(what.seconds, len(what.message.body))
                what.message.handler_us += int(what.seconds * 1e6)
                self._returned(what.held)
                if not what.ended.done():
                    what.ended.set_result(what)
        self._pump()
