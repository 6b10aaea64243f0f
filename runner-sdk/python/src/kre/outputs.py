"""What one attempt of a handler sends."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import any_pb2

from kre.errors import FinalError
from kre.kinds import Kind

RETURNED = "the handler has returned; what is sent now would reach nobody"


class Outputs:
    """Takes what an attempt sends, until it is closed."""

    __slots__ = ("limit", "open", "refused")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Largest body that may be sent, bytes."""
        self.refused: FinalError | None = None
        """An attempt that sent something too large fails, whether or not its handler swallowed the error."""
        self.open = True

    def add(self, kind: Kind, channel: str, body: any_pb2.Any) -> None:
        """Queue a message; one that is too large is a FinalError, one after the handler's end a RuntimeError."""
        if not self.open:
            raise RuntimeError(RETURNED)
        data = body.SerializeToString()
        if len(data) > self.limit:
            self.refused = FinalError(
                f"a message of {len(data)} bytes cannot be sent: the broker takes at most {self.limit} bytes"
            )
            raise self.refused
        self._take(kind, channel, data)

    def _take(self, kind: Kind, channel: str, body: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Refuse what is sent from now on."""
        self.open = False


@dataclass(slots=True)
class Sent:
    """A message as the handler sent it: a serialized Any, and where to."""

    kind: Kind
    channel: str
    body: bytes


class Kept(Outputs):
    """Keeps what is sent, for who looks at it afterwards."""

    __slots__ = ("sent",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.sent: list[Sent] = []

    def _take(self, kind: Kind, channel: str, body: bytes) -> None:
        self.sent.append(Sent(kind, channel, body))
