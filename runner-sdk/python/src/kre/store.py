"""Stores messages in a stream, again and again until the broker has confirmed it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nats.nuid import NUID

from kre import wire
from kre.broker import Broker, ConnectionLost, NoAnswer, TooLarge, headers_size

_log = logging.getLogger("kre")
MAX_BATCH = 500
"""Messages in one atomic batch."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Bytes in one atomic batch."""
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0
"""Seconds between tries, doubling from the first to the longest."""
_OWN_HEADERS = 256
"""Bytes of the headers that storing adds."""
_DUPLICATE_IN_BATCH = 10201
_MESSAGE_TOO_LARGE = 10054
_EXPECTED = {
    0,  # no answer
    10077,  # the stream is full
    10210,  # too many open batches
    10176,  # … which the last message of a refused batch is told as "incomplete"
}


@dataclass(slots=True)
class Outgoing:
    """A message to be stored."""

    subject: str
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Stored:
    """The broker's confirmation."""

    duplicate: bool
    """An earlier run had stored something under the same id; nothing was added."""
    sequence: int
    """Where the message (of a batch: its last) is; for a duplicate, where the earlier one is. 0: not told."""
    repeated: bool
    """It took more than one try, so that a duplicate may be an earlier try of this very call."""
    stream: str = ""
    """Where the sequence counts; empty for a duplicate batch."""


class Store:
    """Publishes to streams and waits for confirmations."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._nuid = NUID()

    async def put_all(self, messages: Sequence[Outgoing], run: str) -> None:
        """Store everything that a run sends, atomically (past a batch's limits: batch by batch) and once per run.

        TooLarge, before anything is stored, if one of them is.
        """
        for message in messages:
            self._broker.check_size(message.body, message.headers, _OWN_HEADERS)
        for number, batch in enumerate(batches(messages), start=1):
            await self.put(batch, run if number == 1 else f"{run}-{number}")

    async def put(self, batch: Sequence[Outgoing], id: str | None) -> Stored:  # noqa: A002
        """Store one message, or several as one batch, under a deduplication id. TooLarge is the only error."""
        wait, tries, lost = FIRST_WAIT, 0, False
        while True:
            await self._broker.wait_connected()
            try:
                answer = await (self._single(batch[0], id) if len(batch) == 1 else self._batch(batch, id))
            except NoAnswer as error:
                told, code = str(error) or "nobody answers for this stream", 0
                lost = lost or isinstance(error, ConnectionLost)
            else:
                if "error" not in answer:
                    return Stored(
                        bool(answer.get("duplicate")), int(answer.get("seq", 0)), tries > 0, str(answer["stream"])
                    )
                code = answer["error"].get("err_code", 0)
                told = str(answer["error"].get("description", "refused"))
                if code == _DUPLICATE_IN_BATCH:
                    if lost and id:
                        await self.complete(batch, id)
                    return Stored(True, 0, tries > 0)
                if code == _MESSAGE_TOO_LARGE:
                    largest = max(len(m.body) + headers_size(m.headers) for m in batch)
                    raise TooLarge(largest, 0)
            tries += 1
            if tries == (5 if code in _EXPECTED else 1) or tries % 30 == 0:
                _log.warning("storing on %s is refused (%s), trying on", batch[0].subject, told)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def complete(self, batch: Sequence[Outgoing], id: str) -> None:  # noqa: A002
        """Store what is missing of a batch whose first message is stored.

        A broker that ends while it commits a batch restores the rest of it when it starts (nats-server 2.15.2), but
        before it knows its consumers: where only what somebody is interested in is kept, that rest is dropped. The
        batch sent again is then told to be a duplicate. What cannot be found behind its first message is stored once
        more: had it been consumed already, it is there twice, under the same message id; otherwise it would be lost.
        """
        # Under its known id the first message is not stored again, and alone it is told where it lies.
        first = await self.put(batch[:1], id)
        for number, message in enumerate(batch[1:], start=1):
            if first.duplicate:
                there = await self.message_at(first.stream, first.sequence + number)
                if there is not None and there.get(wire.MESSAGE_ID) == message.headers[wire.MESSAGE_ID]:
                    continue
            await self.put([message], f"{id}-again-{number}")

    async def _single(self, message: Outgoing, id: str | None) -> Any:  # noqa: A002
        headers = {**message.headers, wire.NATS_MSG_ID: id} if id else message.headers
        answer = await self._broker.request(message.subject, message.body, headers)
        return json.loads(answer.body)

    async def _batch(self, batch: Sequence[Outgoing], id: str | None) -> Any:  # noqa: A002
        # A new batch id for each try: what an interrupted one left behind stays open for a while.
        name = self._nuid.next().decode()
        last = len(batch)
        for number, message in enumerate(batch, start=1):
            headers = {**message.headers, wire.NATS_BATCH_ID: name, wire.NATS_BATCH_SEQUENCE: str(number)}
            if number == 1 and id:
                headers[wire.NATS_MSG_ID] = id
            if number < last:
                await self._broker.publish(message.subject, message.body, headers)
        headers[wire.NATS_BATCH_COMMIT] = "1"
        answer = await self._broker.request(message.subject, message.body, headers)
        return json.loads(answer.body)

    async def message_at(self, stream: str, sequence: int) -> dict[str, str] | None:
        """Return the headers of a stored message; None if it is no longer there."""
        answer = await self.ask(f"STREAM.MSG.GET.{stream}", {"seq": sequence})
        return _headers_of(answer)

    async def last_at(self, stream: str, subject: str) -> tuple[dict[str, str], bytes] | None:
        """Return headers and body of the newest message of a subject; None if there is none."""
        answer = await self.ask(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
        headers = _headers_of(answer)
        if headers is None:
            return None
        return headers, base64.b64decode(answer["message"].get("data", ""))

    async def ask(self, verb: str, question: dict[str, Any]) -> Any:
        """Ask JetStream's API, again until it answers."""
        wait = FIRST_WAIT
        while True:
            await self._broker.wait_connected()
            try:
                answer = await self._broker.request(f"$JS.API.{verb}", json.dumps(question).encode())
                return json.loads(answer.body)
            except NoAnswer:
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)


def batches(messages: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Cut what a run stores into batches that the broker takes."""
    cut: list[list[Outgoing]] = []
    size = 0
    for message in messages:
        weight = len(message.body) + headers_size(message.headers)
        if not cut or len(cut[-1]) == MAX_BATCH or size + weight > MAX_BATCH_BYTES:
            cut.append([])
            size = 0
        cut[-1].append(message)
        size += weight
    return cut


def _headers_of(answer: Any) -> dict[str, str] | None:
    if "error" in answer:
        return None
    raw = base64.b64decode(answer["message"].get("hdrs", ""))
    headers = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip()] = value.strip()
    return headers
