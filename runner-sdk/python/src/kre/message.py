"""A message that this process holds, and what it passes on to whatever is sent for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kre import wire
from kre.config import NodeConfig
from kre.wire import Delivery, Kind

_KINDS = {kind.value: kind for kind in Kind}


@dataclass(eq=False, slots=True)
class Message:
    """A delivered message, from its arrival to its acknowledgement."""

    subject: str
    ack: str
    """Subject on which the broker is told of it."""
    body: bytes
    headers: Mapping[str, str]
    delivery: Delivery
    received: float = field(default_factory=time.monotonic)
    attempts: int = 0
    handler_us: int = 0
    """Time spent in handlers of this process for it, microseconds, all attempts."""

    key: tuple[str, int] = field(init=False)
    """What tells it from every other message."""
    id: str = field(init=False)
    """Its message id; one that a stranger published without gets one from its place in the stream."""
    request_id: str = field(init=False)
    """Id of the request it belongs to."""
    sender: str = field(init=False)
    """Name of the node that sent it."""
    kind: Kind = field(init=False)
    """What it is; an unknown kind counts as ordinary."""

    def __post_init__(self) -> None:
        headers, delivery = self.headers, self.delivery
        self.key = (delivery.stream, delivery.sequence)
        self.id = headers.get(wire.MESSAGE_ID) or f"{delivery.stream}-{delivery.sequence}"
        self.request_id = headers.get(wire.REQUEST_ID) or self.id
        self.sender = headers.get(wire.SENDER, wire.ENTRYPOINT)
        self.kind = _KINDS.get(headers.get(wire.KIND, ""), Kind.OK)

    @property
    def reply_to(self) -> str:
        """Subject of the entrypoint that waits; "" if nobody does."""
        return self.headers.get(wire.REPLY_TO, "")

    def run_id(self, node: NodeConfig) -> str:
        """Return the id of this message's run at a node."""
        return wire.run_id(self.id, node.workflow, node.id, _number(self.headers.get(wire.RESEND), 0))

    @property
    def accepted_ns(self) -> int:
        """When the entry message was stored, broker's clock, Unix nanoseconds."""
        return _number(self.headers.get(wire.ACCEPTED_AT), self.delivery.stored_ns)

    def timing(self, node: str, running_us: int = 0) -> str:
        """Return the times of the path, the runs here and running_us of the current one included."""
        before = self.headers.get(wire.TIMING, "")
        here = f"{node}={self.handler_us + running_us}"
        return f"{before},{here}" if before else here

    def onward(self, node: str) -> dict[str, str]:
        """Return the headers of whatever a node sends because of this message, but kind and ids."""
        headers = {name: self.headers[name] for name in wire.COPIED if name in self.headers}
        headers[wire.SENDER] = node
        headers[wire.ACCEPTED_AT] = str(self.accepted_ns)
        headers[wire.TIMING] = self.timing(node)
        return headers

    def seconds_left(self, default_timeout_ms: int) -> float:
        """Return how long the caller still waits, by the broker's clock and the time this process has held it."""
        timeout_ms = _number(self.headers.get(wire.TIMEOUT), default_timeout_ms)
        before = (self.delivery.stored_ns - self.accepted_ns) / 1e9
        return timeout_ms / 1e3 - before - (time.monotonic() - self.received)


def _number(text: str | None, default: int) -> int:
    try:
        return int(text) if text else default
    except ValueError:
        return default
