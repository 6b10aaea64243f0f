"""Pulls messages from the consumers of a node, no more than the handler keeps up with."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.nuid import NUID

from kre import wire
from kre.broker import Broker, NoAnswer
from kre.config import Source
from kre.errors import StartError
from kre.message import Message
from kre.store import Store

AHEAD = 0.1
"""Seconds of work that a process holds."""
MOST = 256
"""Messages that a process holds at most."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes that a process holds at most, as far as the last messages tell."""
_EXPIRES = 30.0
_HEARTBEAT = 5.0
_FAREWELL = 2.0
_MISSING = (10014, 10059)
_NS = 1_000_000_000


class Pace:
    """How much a process holds, from how long its handler takes and how large its messages are."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._size: float = 0.0

    def handled(self, seconds: float, size: int) -> None:
        """Learn from a handler's end."""
        if self._seconds is None:
            self._seconds, self._size = seconds, float(size)
        else:
            self._seconds += 0.2 * (seconds - self._seconds)
            self._size += 0.2 * (size - self._size)

    def window(self) -> int:
        """Return how many messages to hold: 1 until something is known."""
        if self._seconds is None:
            return 1
        by_time = AHEAD / max(self._seconds, 1e-6)
        by_size = MOST_BYTES / max(self._size, 1.0)
        return max(1, min(MOST, int(min(by_time, by_size))))


async def require(store: Store, source: Source) -> None:
    """Make sure that a consumer exists; a StartError says which does not."""
    answer = await store.ask(f"CONSUMER.INFO.{source.stream}.{source.consumer}", {})
    error = answer.get("error")
    if error and error.get("err_code") in _MISSING:
        raise StartError(
            f"the consumer {source.consumer} of stream {source.stream} does not exist: "
            "the version has to be prepared before its nodes start"
        )


class Puller:
    """One source: a subscription of its own, and requests that keep it fed."""

    def __init__(
        self,
        broker: Broker,
        source: Source,
        on_message: Callable[[Message, Puller], None],
        on_room: Callable[[], None],
    ) -> None:
        self.source = source
        self.asked = 0
        """Messages asked for that have not come."""
        self.held = 0
        """Messages come whose handler has not returned."""
        self.doubtful = False
        """The broker refused: whether the consumer is still there has to be found out."""
        self._broker = broker
        self._on_message = on_message
        self._on_room = on_room
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._heard = 0.0
        self._closed = False

    async def bind(self) -> None:
        """Subscribe anew; what was asked for before is forgotten."""
        old, self._subscription = self._subscription, None
        self._inbox = f"{self._broker.inbox}.p.{NUID().next().decode()}"
        self.asked = 0
        self._heard = time.monotonic()
        self._subscription = await self._broker.subscribe(self._inbox, self._on_delivery)
        if old is not None:
            with suppress(nats.errors.Error):  # of a connection that is no more
                await old.unsubscribe()

    async def unbind(self) -> None:
        """Ask for nothing any more, and return when what was on its way has come."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._broker.connected:
            with suppress(nats.errors.Error, asyncio.TimeoutError, OSError):  # the broker went away meanwhile
                await asyncio.wait_for(subscription.drain(), _FAREWELL)  # type: ignore[no-untyped-call]
        self._closed = True

    async def ask(self, window: int) -> None:
        """Ask for what is missing to a full window, once half of it is."""
        missing = window - self.asked - self.held
        if missing <= 0 or missing * 2 < window or self._subscription is None:
            return
        if self.asked == 0:
            self._heard = time.monotonic()
        self.asked += missing
        question = {
            "batch": missing,
            "expires": int(_EXPIRES * _NS),
            "idle_heartbeat": int(_HEARTBEAT * _NS),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.source.stream}.{self.source.consumer}"
        try:
            await self._broker.publish(subject, json.dumps(question).encode(), reply=self._inbox)
        except NoAnswer:  # binding anew after the reconnection sets the count right
            self.asked -= missing

    def silent(self) -> bool:
        """Whether the broker has missed its own heartbeats: what was asked for is then lost."""
        return self.asked > 0 and time.monotonic() - self._heard > 2 * _HEARTBEAT + 1

    async def _on_delivery(self, delivered: Msg) -> None:
        if self._closed:  # a connection that came back late remembers the subscription
            return
        self._heard = time.monotonic()
        headers = delivered.headers or {}
        delivery = wire.parse_delivery(delivered.reply) if delivered.reply else None
        if delivery is None:
            self._on_status(headers)
            return
        self.asked = max(0, self.asked - 1)
        self._on_message(Message(delivered.subject, delivered.reply, delivered.data, headers, delivery), self)

    def _on_status(self, headers: dict[str, str]) -> None:
        status = headers.get("Status", "")
        if status == "100":
            return
        left = headers.get("Nats-Pending-Messages", "")
        self.asked = max(0, self.asked - int(left)) if left.isdigit() else 0
        if status != "408":  # that one merely expired
            self.doubtful = True
        self._on_room()
