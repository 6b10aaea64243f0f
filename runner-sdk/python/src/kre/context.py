"""What a handler is given: its message, its process and the verbs that send."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import Message

from kre import services
from kre.kinds import Kind, kind_of
from kre.log import LOGGER, NO_RUN
from kre.outputs import Outputs
from kre.texts import valid
from kre.worker_pb2 import Run

_MISSING = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Done:
    """An awaitable that has nothing to wait for: sending has happened when the verb returns."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


SENT = _Done()
"""What the verbs that send return."""
NO_MESSAGE = "there is no message while init runs"


@dataclass
class Process:
    """What all contexts of a process share."""

    version: str
    workflow: str
    node: str
    root: Path
    memory: dict[str, Any] = field(default_factory=dict)


class Context:
    """Given to `init` and to every handler; a handler's is made for its message alone.

    The verbs that send queue when they are called: awaiting them is allowed and not needed. What they queue is
    stored when the handler has returned, early replies and early exits reach the caller at once. In `init` there is
    no message: whatever concerns one is a RuntimeError there.
    """

    def __init__(self, process: Process, run: Run | None = None, outputs: Outputs | None = None) -> None:
        self._process = process
        self._run_or_none = run
        self._outputs = outputs

    @property
    def _run(self) -> Run:
        if self._run_or_none is None:
            raise RuntimeError(NO_MESSAGE)
        return self._run_or_none

    # Sending

    def send_output(self, message: Message, channel: str = "") -> Awaitable[None]:
        """Send a message to the nodes that subscribe to this channel of this node."""
        return self._send(Kind.OK, message, channel)

    def send_any(self, data: any_pb2.Any, channel: str = "") -> Awaitable[None]:
        """Send an Any as it is, e.g. the one a handler was given."""
        if not isinstance(data, any_pb2.Any):
            raise TypeError(f"send_any takes a google.protobuf.Any, not {type(data).__name__}")
        return self._send(Kind.OK, data, channel)

    def send_early_reply(self, message: Message, channel: str = "") -> Awaitable[None]:
        """Answer the caller at once; the workflow goes on."""
        return self._send(Kind.EARLY_REPLY, message, channel)

    def send_early_exit(self, message: Message, channel: str = "") -> Awaitable[None]:
        """Answer the caller at once and end this branch: nothing else that this run sends is stored."""
        return self._send(Kind.EARLY_EXIT, message, channel)

    def _send(self, kind: Kind, message: Message, channel: str) -> Awaitable[None]:
        if not isinstance(message, Message):
            raise TypeError(f"only protobuf messages can be sent, not {type(message).__name__}")
        if not isinstance(channel, str):
            raise TypeError(f"a channel is named by a string, not by {channel!r}")
        if not channel.isascii() and valid(channel) != channel:
            raise ValueError(f"a channel is named by valid text, not by {channel!r}")
        if (outputs := self._outputs) is None:
            raise RuntimeError(NO_MESSAGE)
        if isinstance(message, any_pb2.Any):
            body = message
        else:
            body = any_pb2.Any()
            body.type_url = "type.googleapis.com/" + message.DESCRIPTOR.full_name
            body.value = message.SerializeToString()
        outputs.add(kind, channel, body)
        return SENT

    # The message

    @property
    def request_id(self) -> str:
        """Id of the request the message belongs to."""
        return self._run.request_id

    @property
    def message_id(self) -> str:
        """Id of the message: the same in every attempt and in every process."""
        return self._run.message_id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._run.attempt

    @property
    def sender(self) -> str:
        """Name of the node that sent the message, or "entrypoint"."""
        return self._run.sender

    @property
    def deadline(self) -> datetime | None:
        """When the caller's wait is over, UTC; None if that is not known. A handler that runs on is not interrupted."""
        us = self._run.deadline_unix_us
        return _EPOCH + timedelta(microseconds=us) if us else None

    def get_request_id(self) -> str:
        """Return the id of the request the message belongs to."""
        return self.request_id

    def get_message_id(self) -> str:
        """Return the id of the message."""
        return self.message_id

    def get_attempt(self) -> int:
        """Return the number of this attempt, from 1."""
        return self.attempt

    def is_message_ok(self) -> bool:
        """Whether the message is an ordinary one."""
        return kind_of(self._run.kind) is Kind.OK

    def is_message_error(self) -> bool:
        """Whether the sender failed: the data is then a google.rpc.Status (kre.Status)."""
        return kind_of(self._run.kind) is Kind.ERROR

    def is_message_early_reply(self) -> bool:
        """Whether the message is an early reply, which the caller has received already."""
        return kind_of(self._run.kind) is Kind.EARLY_REPLY

    def is_message_early_exit(self) -> bool:
        """Whether the message is an early exit, which the caller has received already."""
        return kind_of(self._run.kind) is Kind.EARLY_EXIT

    # The process

    @property
    def version(self) -> str:
        """Name of the version."""
        return self._process.version

    @property
    def workflow(self) -> str:
        """Name of the workflow."""
        return self._process.workflow

    @property
    def node(self) -> str:
        """Name of the node."""
        return self._process.node

    def path(self, relative: str = "") -> str:
        """Return the absolute path of a file of the package."""
        return str(self._process.root / relative)

    def set(self, key: str, value: Any) -> None:
        """Keep a value for the life of the process; every later context sees it."""
        self._process.memory[key] = value

    def get(self, key: str, default: Any = _MISSING) -> Any:
        """Return what was set; a KeyError, or the default if one is given, when nothing was."""
        if default is not _MISSING:
            return self._process.memory.get(key, default)
        return self._process.memory[key]

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A standard logger whose lines carry the ids of this message."""
        return logging.LoggerAdapter(LOGGER, {"kre": self._run_or_none or NO_RUN})

    # Services that come later

    @cached_property
    def measurement(self) -> services.Measurement:
        """Measurements; not available yet."""
        return services.Measurement(self.logger)

    @property
    def prediction(self) -> services.Prediction:
        """Predictions; not available yet."""
        return services.Prediction()

    @property
    def db(self) -> services.Database:
        """Documents; not available yet."""
        return services.Database()

    @property
    def object_store(self) -> services.ObjectStore:
        """Objects; not available yet."""
        return services.ObjectStore()

    @property
    def configuration(self) -> services.Configuration:
        """Key-value pairs; not available yet."""
        return services.Configuration()
