"""What follows a handler's end: storing, answering, dead letters and the acknowledgement, each confirmed in turn."""

from __future__ import annotations

import asyncio
import logging
import time

from kre import wire
from kre.broker import Broker, NoAnswer, headers_size
from kre.config import NodeConfig
from kre.errors import one_line
from kre.message import Message
from kre.outputs import Sent, choose
from kre.replies import Replies
from kre.status import error_body
from kre.store import Outgoing, Store, Stored
from kre.wire import Kind

_log = logging.getLogger("kre")
_TEXT_LIMIT = 4 * 1024
"""Bytes of an error's text, wherever it goes."""


class Runs:
    """Ends the runs of a node."""

    def __init__(self, broker: Broker, store: Store, node: NodeConfig, stopping: asyncio.Event) -> None:
        self._broker = broker
        self._store = store
        self._node = node
        self._replies = Replies(broker, node, stopping)
        self._unheard: dict[str, int] = {}

    async def succeeded(self, message: Message, sent: list[Sent], early: list[asyncio.Task[bool]]) -> None:
        """Store what a handler sent, answer the caller where that is due, and acknowledge.

        TooLarge, before anything is stored, if an output is.
        """
        chosen = choose(sent, self._node.output, self._node.exitpoint)
        for channel in chosen.unheard:
            self._drop(channel)
        if chosen.stored:
            run = message.run_id(self._node)
            onward = message.onward(self._node.node)
            await self._store.put_all(
                [self._output(subject, one, onward, run, i) for i, (subject, one) in enumerate(chosen.stored)],
                run,
            )
        for answer in chosen.answers:
            await self._replies.send(message, Kind.OK, answer.body)
        for task in early:
            await task
        if not (chosen.stored or chosen.answers or early):
            await self._replies.note(message, Kind.NOTHING_SENT)
        await self.acknowledge(message)

    @staticmethod
    def _output(subject: str, sent: Sent, onward: dict[str, str], run: str, index: int) -> Outgoing:
        headers = {**onward, wire.MESSAGE_ID: wire.output_id(run, index)}
        if sent.kind is not Kind.OK:
            headers[wire.KIND] = sent.kind.value
        return Outgoing(subject, sent.body, headers)

    def _drop(self, channel: str) -> None:
        if channel not in self._unheard:
            name = f"channel {channel}" if channel else "the default channel"
            _log.warning("nobody listens to %s of %s: what is sent there is dropped", name, self._node.node)
        self._unheard[channel] = self._unheard.get(channel, 0) + 1

    def early(self, message: Message, sent: Sent, running_us: int) -> asyncio.Task[bool]:
        """Answer the caller at once, while the handler goes on that has run for so many microseconds."""
        return asyncio.get_running_loop().create_task(self._replies.send(message, sent.kind, sent.body, running_us))

    async def attempt_failed(self, message: Message, text: str) -> None:
        """Tell the entrypoint of an attempt that failed."""
        await self._replies.note(message, Kind.ATTEMPT_FAILED, self._error(message, text, message.attempts))

    async def exhausted(self, message: Message, text: str, attempts: int) -> None:
        """Give a message up: its error to the subscribers, the dead letter, the caller, the acknowledgement."""
        run = message.run_id(self._node)
        text = _cut(text)
        body = self._error(message, text, attempts)
        if self._node.output is not None:
            stored = await self._store_error(message, body, run)
            if stored.duplicate and not await self._is_own_error(stored, run):
                _log.info("message %s was handled by an earlier run: its outputs stand", message.id)
                await self.acknowledge(message)
                return
        await self._store.put([self._dead_letter(message, text, attempts)], run)
        if self._node.on_path:
            await self._replies.send(message, Kind.ERROR, body)
        await self.acknowledge(message)

    async def forward_error(self, message: Message) -> None:
        """Pass an error on unchanged, as this node's own; an exitpoint tells it to the caller."""
        if self._node.output is not None:
            await self._store_error(message, message.body, message.run_id(self._node))
        if self._node.exitpoint:
            await self._replies.send(message, Kind.ERROR, message.body)
        await self.acknowledge(message)

    async def _store_error(self, message: Message, body: bytes, run: str) -> Stored:
        assert self._node.output is not None
        headers = message.onward(self._node.node)
        headers[wire.KIND] = Kind.ERROR.value
        headers[wire.MESSAGE_ID] = wire.output_id(run, 0)
        return await self._store.put([Outgoing(self._node.output.error, body, headers)], run)

    async def _is_own_error(self, stored: Stored, run: str) -> bool:
        assert self._node.output is not None
        found = await self._store.message_at(self._node.output.stream, stored.sequence) if stored.sequence else None
        if found is None:  # consumed meanwhile: it can only be ours if we had tried before
            return stored.repeated and stored.sequence != 0
        return found.get(wire.KIND) == Kind.ERROR.value and found.get(wire.MESSAGE_ID) == wire.output_id(run, 0)

    def _dead_letter(self, message: Message, text: str, attempts: int) -> Outgoing:
        headers = {k: v for k, v in message.headers.items() if not k.startswith("Nats-")}
        headers[wire.ATTEMPTS] = str(attempts)
        headers[wire.FAILED_AT] = str(time.time_ns())
        headers[wire.INPUT_SUBJECT] = message.subject
        headers[wire.ERROR] = ""
        # The input may have used up the broker's limit: the text is what can be shortened.
        room = self._broker.max_payload - len(message.body) - headers_size(headers) - 256
        headers[wire.ERROR] = one_line(text, max(0, min(_TEXT_LIMIT, room)))
        return Outgoing(self._node.dead_letters.subject, message.body, headers)

    def _error(self, message: Message, text: str, attempts: int) -> bytes:
        return error_body(
            self._node.node,
            _cut(text),
            {
                "node": self._node.node,
                "workflow": self._node.workflow,
                "request_id": message.request_id,
                "message_id": message.id,
                "attempts": str(attempts),
            },
        )

    async def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is done with."""
        await self._tell(message, b"+ACK")

    async def give_back(self, message: Message) -> None:
        """Tell the broker to hand a message to somebody else."""
        await self._tell(message, b"-NAK")

    async def in_progress(self, message: Message) -> None:
        """Tell the broker that a message is still held."""
        await self._tell(message, b"+WPI")

    async def _tell(self, message: Message, what: bytes) -> None:
        try:
            await self._broker.publish(message.ack, what)
        except NoAnswer:  # it will be delivered again, and its second run adds nothing
            _log.debug("the broker was away for %s of message %s", what.decode(), message.id)


def _cut(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= _TEXT_LIMIT else encoded[: _TEXT_LIMIT - 3].decode("utf-8", "ignore") + "…"
