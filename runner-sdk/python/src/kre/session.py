"""The broker's side of a node: what it pulls, what it holds, and its orderly end."""

from __future__ import annotations

import asyncio

from kre.broker import Broker
from kre.config import NodeConfig
from kre.context import Process
from kre.handlers import Handlers
from kre.lives import Held, Lives
from kre.message import Message
from kre.pull import Puller, require
from kre.slow import Slowness
from kre.store import Store
from kre.userland import Job, Userland

BEAT = 0.5
"""Seconds between two signs of life for a held message; the broker waits for 2."""
DRAIN = 25.0
"""Seconds that a stopping process gives to what has begun."""


class Session:
    """Runs a node over one connection. Belongs to the event loop of the broker's traffic."""

    def __init__(self, node: NodeConfig, process: Process, broker: Broker) -> None:
        self._node = node
        self._broker = broker
        self._store = Store(broker)
        self._lives = Lives(node, process, broker, self._on_returned, self._on_ended)
        self._pullers = [Puller(broker, source, self._on_message, self._on_room) for source in node.sources]
        self._held: dict[tuple[str, int], Held] = {}
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._slowness: Slowness | None = None

    # From start to end

    async def open(self, userland: Userland, handlers: Handlers) -> None:
        """Bind to every consumer; a StartError names one that is missing."""
        self._lives.open(userland, handlers)
        self._slowness = Slowness(self._node, self._broker, userland)
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
            for puller in self._pullers:
                await puller.unbind()
            await self._lives.drain(DRAIN)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to stop: what has begun is finished, everything else given back."""
        self._stopping.set()
        self._lives.stopping.set()

    def tell(self, job: Job) -> None:
        """Report the end of a job; any thread may."""
        self._lives.tell(job)

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._failure = error
            self.stop()

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
                    asyncio.get_running_loop().call_later(BEAT, self._on_room)  # the refusal may last
                elif self._lives.may_pull:
                    await puller.ask(max(1, self._lives.pace.window() // len(self._pullers)))

    def _on_message(self, message: Message, puller: Puller) -> None:
        if message.key in self._held:  # it is in good hands already
            self._on_room()
            return
        held = Held(message, puller)
        self._held[message.key] = held
        puller.held += 1
        self._lives.begin(held)

    # Holding

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._beat_once()
            if self._slowness is not None:
                await self._slowness.look()
            for puller in self._pullers:
                if puller.silent() and self._broker.connected and not self._stopping.is_set():
                    await puller.bind()
                    self._on_room()

    async def _beat_once(self) -> None:
        for held in list(self._held.values()):
            await self._lives.runs.in_progress(held.message)

    def _on_returned(self, held: Held) -> None:
        held.puller.held -= 1
        self._on_room()

    def _on_ended(self, held: Held) -> None:
        self._held.pop(held.message.key, None)
        self._on_room()
