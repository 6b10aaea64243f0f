"""What travels between the entrypoint and the nodes: headers, kinds and ids.

This is the Python side of runner-sdk/spec/protocol.md. It talks to no broker.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum

MESSAGE_ID = "Kre-Message-Id"
REQUEST_ID = "Kre-Request-Id"
SENDER = "Kre-Sender"
KIND = "Kre-Kind"
REPLY_TO = "Kre-Reply-To"
ACCEPTED_AT = "Kre-Accepted-At"
TIMEOUT = "Kre-Timeout"
TIMING = "Kre-Timing"
LABEL = "Kre-Label"
RESEND = "Kre-Resend"
SENT_AT = "Kre-Sent-At"
ERROR = "Kre-Error"
ATTEMPTS = "Kre-Attempts"
FAILED_AT = "Kre-Failed-At"
INPUT_SUBJECT = "Kre-Input-Subject"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

NATS_MSG_ID = "Nats-Msg-Id"
NATS_BATCH_ID = "Nats-Batch-Id"
NATS_BATCH_SEQUENCE = "Nats-Batch-Sequence"
NATS_BATCH_COMMIT = "Nats-Batch-Commit"

COPIED = (REQUEST_ID, REPLY_TO, TIMEOUT, LABEL, TRACEPARENT, TRACESTATE)
"""Headers that a node copies from its input to whatever it sends."""

ENTRYPOINT = "entrypoint"
"""Sender of entry messages."""

HEADER_RESERVE = 4 * 1024
"""Bytes of the broker's message limit that are kept free for headers."""


class Kind(str, Enum):
    """What a message or a reply is; an absent header means OK."""

    OK = "ok"
    ERROR = "error"
    EARLY_REPLY = "early-reply"
    EARLY_EXIT = "early-exit"
    ATTEMPT_FAILED = "attempt-failed"
    NOTHING_SENT = "nothing-sent"

    @property
    def early(self) -> bool:
        """Whether it answers the caller before the workflow has ended."""
        return self in (Kind.EARLY_REPLY, Kind.EARLY_EXIT)


def _hash(*parts: str) -> str:
    return hashlib.sha256(b"\0".join(part.encode() for part in parts)).hexdigest()[:32]


def run_id(message_id: str, workflow: str, node: str, resend: int = 0) -> str:
    """Return the id of the run of a message at a node; workflow and node are mapped names."""
    return _hash("run", message_id, workflow, node, str(resend))


def output_id(run: str, index: int) -> str:
    """Return the message id of the index-th (from 0) output that a run stores."""
    return _hash("output", run, str(index))


def starts_key(node: str, message_id: str) -> str:
    """Return the key under which the starts of a message at a node are counted."""
    return f"{_key_token(node)}.{_key_token(message_id)}"


def _key_token(text: str) -> str:
    return re.sub(r"[^-_a-zA-Z0-9]", "_", text)


@dataclass(slots=True)
class Delivery:
    """What the broker says of a delivered message, read from its acknowledgement subject."""

    stream: str
    sequence: int
    count: int
    stored_ns: int


def parse_delivery(ack_subject: str) -> Delivery | None:
    """Read an acknowledgement subject; None if it is not one."""
    parts = ack_subject.split(".")
    if parts[:2] != ["$JS", "ACK"]:
        return None
    if len(parts) == 9:
        fields = parts[2:]
    elif len(parts) >= 11:  # $JS.ACK.<domain>.<account>.<stream>…, with or without a last random token
        fields = parts[4:]
    else:
        return None
    stream, _consumer, count, sequence, _delivered, stored = fields[:6]
    try:
        return Delivery(stream, int(sequence), int(count), int(stored))
    except ValueError:
        return None
