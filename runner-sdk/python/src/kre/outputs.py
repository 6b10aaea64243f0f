"""What one attempt of a handler sends, held until it has returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from google.protobuf import any_pb2

from kre.config import Output
from kre.errors import FinalError
from kre.wire import Kind


@dataclass(slots=True)
class Sent:
    """A message as the handler sent it: a serialized Any, and where to."""

    kind: Kind
    channel: str
    body: bytes


@dataclass
class Outputs:
    """Collects what an attempt sends. Any thread may send until it is closed."""

    limit: int
    """Largest body that the broker takes, bytes."""
    on_early: Callable[[Sent], None] = lambda sent: None
    """Called at once, in the sending thread, with early replies and early exits."""
    sent: list[Sent] = field(default_factory=list)
    refused: FinalError | None = None
    """An attempt that sent something too large fails, whether or not its handler swallowed the error."""
    open: bool = True

    def add(self, kind: Kind, channel: str, body: any_pb2.Any) -> None:
        """Queue a message; one that is too large is a FinalError, one after the handler's end a RuntimeError."""
        if not self.open:
            raise RuntimeError("the handler has returned; what is sent now would reach nobody")
        data = body.SerializeToString()
        if len(data) > self.limit:
            self.refused = FinalError(
                f"a message of {len(data)} bytes cannot be sent: the broker takes at most {self.limit} bytes"
            )
            raise self.refused
        sent = Sent(kind, channel, data)
        self.sent.append(sent)
        if kind.early:
            self.on_early(sent)

    def close(self) -> None:
        """Refuse what is sent from now on."""
        self.open = False


@dataclass(slots=True)
class Chosen:
    """What becomes of an attempt's messages once its handler has returned."""

    stored: list[tuple[str, Sent]]
    """Subject and message, in order."""
    answers: list[Sent]
    """What is sent to the caller as well."""
    unheard: list[str]
    """Channels that nobody listens to."""


def choose(sent: Sequence[Sent], output: Output | None, exitpoint: bool) -> Chosen:
    """Decide what is stored where: everything sent, in order, or the early exit alone."""
    exits = [s for s in sent if s.kind is Kind.EARLY_EXIT]
    chosen = Chosen([], [], [])
    for message in exits[:1] or sent:
        answers = exitpoint and message.kind is Kind.OK and not message.channel
        if answers:
            chosen.answers.append(message)
        channels = () if output is None else output.early if message.kind.early else output.channels
        if message.channel in channels:
            chosen.stored.append((dict(channels)[message.channel], message))
        elif message.kind is Kind.OK and not answers:
            chosen.unheard.append(message.channel)
    return chosen
