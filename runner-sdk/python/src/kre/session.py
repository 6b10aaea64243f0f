"""The broker's side of a node: holds messages, decides which handler runs when, and sees every message to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterator
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
from kre.pull import Pace, Puller, require
from kre.runs import Runs
from kre.starts import DEADLY, DEATHS, SUSPECT, Starts
from kre.store import Store
from kre.userland import Job, Userland
from kre.wire import Kind

_log = logging.getLogger("kre")
BEAT = 0.5
"""Seconds between two signs of life for a held message; the broker waits for 2."""
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
"""Seconds before another attempt, doubling from the first to the longest."""
MOST_CONFIRMING = 256
"""Runs that may wait for confirmations; past it no handler is started."""
MOST_RETRYING = 256
"""Messages that may wait for another attempt; past it none are pulled."""
AHEAD_OF_USER = 16
"""Jobs handed to the user's thread, so that it need not wait for the broker's."""
DRAIN = 25.0
"""Seconds that a stopping process gives to what has begun."""


@dataclass(eq=False)
class _Held:
    """A message in this process."""

    message: Message
    puller: Puller
    early: list[asyncio.Task[bool]] = field(default_factory=list)
    pending: bool = True
    """Its handler has not returned: it counts as held by its puller."""


@dataclass(eq=False, kw_only=True)
class _Try(Job):
    """A job, and the message's life that waits for it; None means that it never began."""

    held: _Held
    ended: asyncio.Future[_Try | None]


@dataclass(slots=True)
class _Early:
    """Something that a running handler sends at once."""

    job: _Try
    sent: Sent
    running_us: int


class Session:
    """Runs a node over one connection. Belongs to the event loop of the broker's traffic."""

    def __init__(self, node: NodeConfig, process: Process, broker: Broker) -> None:
        self._node = node
        self._process = process
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._store = Store(broker)
        self._runs = Runs(broker, self._store, node)
        self._starts = Starts(self._store, node.starts, node.id)
        self._pace = Pace()
        self._pullers = [Puller(broker, source, self._on_message, self._on_room) for source in node.sources]
        self._held: dict[tuple[str, int], _Held] = {}
        self._ready: deque[_Held] = deque()
        self._due: deque[asyncio.Future[bool]] = deque()
        self._alone: _Held | None = None
        self._alone_began = False
        self._in_user = 0
        self._confirming = 0
        self._retrying = 0
        self._happened: deque[Job | _Early] = deque()
        self._told = False
        self._lives: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._userland: Userland
        self._handlers: Handlers

    # From start to end

    async def open(self, userland: Userland, handlers: Handlers) -> None:
        """Bind to every consumer; a StartError names one that is missing."""
        self._userland, self._handlers = userland, handlers
        for source in self._node.sources:
            await require(self._store, source)
        await self._bind()
        self._broker.on_connected = self._bind

    async def serve(self) -> None:
        """Handle messages until `stop` is called; a StartError if a consumer disappears."""
        keepers = [asyncio.create_task(self._feed()), asyncio.create_task(self._beat())]
        for keeper in keepers:
            keeper.add_done_callback(self._keeper_ended)
        try:
            await self._stopping.wait()
            await self._drain()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to stop: what has begun is finished, everything else given back."""
        self._stopping.set()

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._failure = error
            self.stop()

    async def _drain(self) -> None:
        for puller in self._pullers:
            await puller.unbind()
        while self._ready:
            held = self._ready.popleft()
            await self._runs.give_back(held.message)
            self._release(held)
        if self._alone is not None and not self._alone_began:
            await self._runs.give_back(self._alone.message)
            self._release(self._alone)
            self._alone = None
        for turn in self._due:
            if not turn.done():
                turn.set_result(False)
        for job in self._userland.take_back():
            self._in_user -= 1
            assert isinstance(job, _Try)
            if not job.ended.done():
                job.ended.set_result(None)
        if self._lives:
            await asyncio.wait(self._lives, timeout=DRAIN)
        for life in list(self._lives):
            _log.warning("stopping before a message has ended: it will be handled again")
            life.cancel()

    # Pulling

    async def _bind(self) -> None:
        if self._stopping.is_set():
            return
        for puller in self._pullers:
            await puller.bind()
        await self._beat_once()
        self._on_room()

    def _on_room(self) -> None:
        self._room.set()

    async def _feed(self) -> None:
        while True:
            await self._room.wait()
            self._room.clear()
            if self._stopping.is_set():
                return
            for puller in self._pullers:
                if puller.doubtful:
                    puller.doubtful = False
                    await require(self._store, puller.source)
                    self._loop.call_later(BEAT, self._on_room)  # not at once: the refusal may last
                elif self._retrying < MOST_RETRYING:
                    await puller.ask(max(1, self._pace.window() // len(self._pullers)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._beat_once()
            for puller in self._pullers:
                if puller.silent() and self._broker.connected and not self._stopping.is_set():
                    await puller.bind()
                    self._on_room()

    async def _beat_once(self) -> None:
        for held in list(self._held.values()):
            await self._runs.in_progress(held.message)

    def _on_message(self, message: Message, puller: Puller) -> None:
        if message.key in self._held:  # it is in good hands already
            self._on_room()
            return
        held = _Held(message, puller)
        self._held[message.key] = held
        puller.held += 1
        self._ready.append(held)
        self._pump()

    def _release(self, held: _Held) -> None:
        self._returned(held)
        self._held.pop(held.message.key, None)

    def _returned(self, held: _Held) -> None:
        if held.pending:
            held.pending = False
            held.puller.held -= 1
            self._on_room()

    # Choosing what runs next

    def _pump(self) -> None:
        if self._stopping.is_set():
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

    def _begin(self, held: _Held) -> None:
        if self._handlers.typed and held.message.kind is not Kind.OK:
            self._live(self._pass_by(held), held)
        elif held.message.delivery.count >= SUSPECT:
            self._alone, self._alone_began = held, False
        else:
            self._in_user += 1
            self._live(self._handle(held), held)

    def _live(self, life: Coroutine[Any, Any, None], held: _Held) -> None:
        task = self._loop.create_task(self._see_through(life, held))
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def _see_through(self, life: Coroutine[Any, Any, None], held: _Held) -> None:
        try:
            await life
        except Exception:
            _log.exception("message %s was not brought to an end: it will be handled again", held.message.id)
        finally:
            self._release(held)
            if self._alone is held:
                self._alone = None
            self._pump()

    @contextmanager
    def _confirmations(self) -> Iterator[None]:
        self._confirming += 1
        try:
            yield
        finally:
            self._confirming -= 1

    # The life of a message

    async def _pass_by(self, held: _Held) -> None:
        """Let an error or an early message go past typed handlers."""
        self._returned(held)
        with self._confirmations():
            if held.message.kind is Kind.ERROR:
                await self._runs.forward_error(held.message)
            else:
                await self._runs.acknowledge(held.message)

    async def _handle(self, held: _Held) -> None:
        while True:
            job = await self._attempt(held)
            if job is None:
                break
            if await self._settle(held, job):
                return
            if not await self._pause(held):
                break
        await self._runs.give_back(held.message)

    async def _handle_alone(self, held: _Held) -> None:
        """Handle a message that may have ended this process's predecessors; nothing runs beside it."""
        message = held.message
        count = await self._starts.count(message.id)
        if count >= DEADLY:
            text = f"the process ended {DEATHS} times while it handled this message"
            with self._labelled(message):
                _log.error("%s: it goes to the dead letters", text)
            await self._runs.exhausted(message, text, DEATHS)
        else:
            await self._starts.record(message.id, count + 1)
            while True:
                self._in_user += 1
                job = await self._attempt(held)
                if job is not None and await self._settle(held, job):
                    break
                if job is None or await self._stopped_within(self._retry_delay(message)):
                    await self._runs.give_back(message)
                    break
        await self._starts.forget(message.id)

    async def _attempt(self, held: _Held) -> _Try | None:
        """Have the handler run; None if the process stops before it began."""
        if self._stopping.is_set():
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

    async def _settle(self, held: _Held, job: _Try) -> bool:
        """Do what follows an attempt; whether the message has come to its end."""
        message, error = held.message, job.error
        with self._confirmations():
            if error is None:
                try:
                    await self._runs.succeeded(message, job.outputs.sent, held.early)
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
            await self._runs.attempt_failed(message, text)
            if not last:
                return False
            for task in held.early:
                await task
            if message.kind is Kind.OK:
                await self._runs.exhausted(message, text, message.attempts)
            else:
                await self._runs.acknowledge(message)
            return True

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

    async def _pause(self, held: _Held) -> bool:
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
            self._on_room()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
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
                held.early.append(self._runs.early(held.message, what.sent, what.running_us))
            elif isinstance(what, _Try):
                self._in_user -= 1
                self._pace.handled(what.seconds, len(what.message.body))
                what.message.handler_us += int(what.seconds * 1e6)
                self._returned(what.held)
                if not what.ended.done():
                    what.ended.set_result(what)
        self._pump()
