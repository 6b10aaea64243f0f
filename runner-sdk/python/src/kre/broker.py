"""The connection to NATS: publishing, requests answered on one inbox, and coming back for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.nuid import NUID

from kre.credentials import Token

_log = logging.getLogger("kre")
RECONNECT_WAIT = 0.1
"""Seconds between attempts to reach the broker."""
_HEADERS_SMALL = 64 * 1024
_MOST_SENTENCES = 20
_BUFFER = 64 * 1024 * 1024
_NO_RESPONDERS = "503"
_STATUS = "Status"


class NoAnswer(Exception):
    """Nothing came back: the time was over, or the connection went."""


class ConnectionLost(NoAnswer):
    """The connection went while the answer was awaited: the broker may have been restarted."""


class NoResponders(NoAnswer):
    """The broker said at once that nobody listens on the subject."""


class TooLarge(Exception):
    """A message with its headers is larger than the broker takes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a message of {size} bytes cannot be sent: the broker takes at most {limit} bytes")


@dataclass(slots=True)
class Answer:
    """What came back for a request."""

    body: bytes
    headers: Mapping[str, str]


class _Client(Client):
    """The library's client, reading headers in a third of the time; it is a large part of what a message costs."""

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        headers = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, separator, value = line.partition(":")
            if separator:
                headers[name] = value.strip()
        return headers


class Broker:
    """A connection that outlives the broker's absences. Belongs to one event loop."""

    def __init__(self, url: str, credentials: str | None, name: str, inbox: str = "") -> None:
        self._options: dict[str, Any] = {
            "servers": [part.strip() for part in url.split(",")],
            "name": name,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_WAIT,
            "pending_size": _BUFFER,
            "ping_interval": 10,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_connected,
            "closed_cb": self._on_closed,
        }
        if credentials:
            self._options["user_jwt_cb"] = Token(credentials).latest
            self._options["signature_cb"] = lambda _: b""  # nobody looks at it: the token is a bearer one
        self._client = _Client()
        self._inbox = f"{inbox or '_INBOX'}.{NUID().next().decode()}"
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._last_token = 0
        self._up = asyncio.Event()
        self._opened = False
        self._stopping = False
        self._reopening: asyncio.Task[None] | None = None
        self._told: set[str] = set()
        self.on_connected: Callable[[], Awaitable[None]] | None = None
        """Awaited after every connection but the first, when subscriptions of the caller's have to be made anew."""

    @property
    def connected(self) -> bool:
        """Whether the broker can be spoken to now."""
        return self._up.is_set()

    @property
    def max_payload(self) -> int:
        """Largest message that the broker takes, headers included, bytes."""
        return int(self._client.max_payload)

    @property
    def inbox(self) -> str:
        """Prefix of subjects that only this connection listens on."""
        return self._inbox

    async def open(self) -> None:
        """Connect, however long that takes."""
        self._opened = True
        await self._open()

    async def _open(self) -> None:
        await self._client.connect(**self._options)
        await self._client.subscribe(
            self._inbox + ".r.*", cb=self._on_answer, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._told.clear()
        self._up.set()

    async def close(self) -> None:
        """Flush what was published and leave."""
        self._stopping = True
        if self._reopening is not None:
            self._reopening.cancel()
        if not self._opened:
            return
        if self._client.is_connected:
            try:
                await self._client.flush(timeout=2)
            except (nats.errors.Error, asyncio.TimeoutError, OSError):
                _log.warning("the last messages to the broker may not have left this process")
        with suppress(nats.errors.Error, asyncio.TimeoutError, OSError):  # the broker is away
            await asyncio.wait_for(self._client.close(), timeout=2)
        self._fail_waiting()

    async def wait_connected(self) -> None:
        """Return when the broker can be spoken to."""
        await self._up.wait()

    async def subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """Subscribe without limits on what is pending: the callback must not wait."""
        return await self._client.subscribe(subject, cb=callback, pending_msgs_limit=0, pending_bytes_limit=0)

    async def publish(self, subject: str, body: bytes, headers: dict[str, str] | None = None, reply: str = "") -> None:
        """Hand a message to the connection. TooLarge, or NoAnswer while the broker is away."""
        self.check_size(body, headers or {})
        if not self._up.is_set():
            raise NoAnswer("the broker is away")
        try:
            await self._client.publish(subject, body, reply=reply, headers=headers or None)
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError) as error:
            raise NoAnswer(str(error)) from error

    def check_size(self, body: bytes, headers: Mapping[str, str], more: int = 0) -> None:
        """Raise TooLarge if a message would be; the broker would cut the connection instead of refusing it."""
        limit = self.max_payload
        if len(body) + _HEADERS_SMALL <= limit:
            return
        size = len(body) + headers_size(headers) + more
        if size > limit:
            raise TooLarge(size, limit)

    async def flush(self) -> None:
        """Return when the broker has processed everything published so far; NoAnswer if that cannot be told."""
        try:
            await self._client.flush(timeout=5)
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise NoAnswer(str(error)) from error

    async def request(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None, timeout: float = 5.0
    ) -> Answer:
        """Publish and wait for one answer: NoResponders, NoAnswer or TooLarge if there is none."""
        loop = asyncio.get_running_loop()
        self._last_token += 1
        token = str(self._last_token)
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting[token] = future
        timer = loop.call_later(timeout, _give_up, future)
        try:
            await self.publish(subject, body, headers, f"{self._inbox}.r.{token}")
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(token, None)

    async def _on_answer(self, message: Msg) -> None:
        future = self._waiting.get(message.subject[len(self._inbox) + 3 :])
        if future is None or future.done():
            return
        headers = message.headers or {}
        if headers.get(_STATUS) == _NO_RESPONDERS:
            future.set_exception(NoResponders())
        else:
            future.set_result(Answer(message.data, headers))

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost("the connection to the broker was lost"))

    async def _on_disconnected(self) -> None:
        if self._up.is_set() and not self._stopping:
            _log.warning("connection to the broker lost, reconnecting")
        self._up.clear()
        self._fail_waiting()

    async def _on_connected(self) -> None:
        self._up.set()
        self._told.clear()
        if not self._stopping:
            _log.info("connected to the broker again")
            if self.on_connected is not None:
                await self.on_connected()

    async def _on_closed(self) -> None:
        # The library gives up on some errors of the broker's; this process does not.
        self._up.clear()
        self._fail_waiting()
        if not self._stopping:
            self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        await asyncio.sleep(RECONNECT_WAIT)
        self._client = _Client()
        await self._open()
        await self._on_connected()

    async def _on_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        # The same sentences ten times a second help nobody.
        if text not in self._told and len(self._told) < _MOST_SENTENCES and not self._stopping:
            self._told.add(text)
            _log.warning("broker: %s", text)


def headers_size(headers: Mapping[str, str]) -> int:
    """Return the bytes that headers take on the wire."""
    return 14 + sum(len(k) + len(v.encode()) + 4 for k, v in headers.items())


def _give_up(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(NoAnswer("no answer in time"))
