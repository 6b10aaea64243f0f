"""Answers to the entrypoint that waits: confirmed ones, and notes that nobody confirms."""

from __future__ import annotations

import asyncio
import logging
import time

from kre import wire
from kre.broker import Broker, NoAnswer, NoResponders
from kre.config import NodeConfig
from kre.message import Message
from kre.wire import Kind

_log = logging.getLogger("kre")
TRY = 0.5
"""Seconds that each try waits for the confirmation."""
NOBODY = 5.0
"""Seconds of "no responders" after which a reply is given up."""


class Ending(Exception):
    """The process ends, and no entrypoint listens: whoever handles the message again answers it."""


class Replies:
    """Speaks to the entrypoints that wait."""

    def __init__(self, broker: Broker, node: NodeConfig, stopping: asyncio.Event) -> None:
        self._broker = broker
        self._node = node
        self._stopping = stopping

    def _headers(self, message: Message, kind: Kind, running_us: int = 0) -> dict[str, str]:
        return {
            wire.REQUEST_ID: message.request_id,
            wire.SENDER: self._node.node,
            wire.KIND: kind.value,
            wire.TIMING: message.timing(self._node.node, running_us),
            wire.SENT_AT: str(time.time_ns()),
        }

    async def send(self, message: Message, kind: Kind, body: bytes, running_us: int = 0) -> bool:
        """Answer the caller, again until the entrypoint confirms or nobody waits any more; whether it confirmed.

        TooLarge if the answer is; Ending where the entrypoints went before a process that stops. running_us is the time
        of a handler that has not ended.
        """
        if not message.reply_to:
            return False
        nobody_since: float | None = None
        while True:
            await self._broker.wait_connected()
            began = time.monotonic()
            try:
                headers = self._headers(message, kind, running_us)
                await self._broker.request(message.reply_to, body, headers, timeout=TRY)
                return True
            except NoResponders:
                if self._stopping.is_set():
                    raise Ending from None
                nobody_since = began if nobody_since is None else nobody_since
                if time.monotonic() - nobody_since >= NOBODY:
                    break
            except NoAnswer:
                nobody_since = None
            if message.seconds_left(self._node.timeout_ms) <= 0:
                break
            await asyncio.sleep(max(0.0, TRY - (time.monotonic() - began)))
        _log.warning(
            "the reply (%s) to request %s stays unanswered: no entrypoint confirmed it",
            kind.value,
            message.request_id,
        )
        return False

    async def note(self, message: Message, kind: Kind, body: bytes = b"") -> None:
        """Tell the entrypoint something that it may miss."""
        if not message.reply_to:
            return
        try:
            await self._broker.publish(message.reply_to, body, self._headers(message, kind))
        except NoAnswer:
            _log.debug("the note %s on request %s was not sent", kind.value, message.request_id)
