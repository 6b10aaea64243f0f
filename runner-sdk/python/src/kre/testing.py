"""Calls a handler without a platform and keeps what it sends.

result = kre.testing.call(main, Request(carat=1), sender="etl", env={"CURRENCY": "EUR"})
assert result.one(Response).price > 0
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from google.protobuf import any_pb2
from google.protobuf.message import Message

from kre.context import Context, Process
from kre.errors import text_of
from kre.handlers import Handlers, of_module
from kre.kinds import ENTRYPOINT, Kind
from kre.outputs import Kept, Sent
from kre.worker_pb2 import Run

Typed = TypeVar("Typed", bound=Message)
_MANIFESTS = ("krt.yml", "krt.yaml", "kre.yml", "kre.yaml")
_NAME = "__kre_testing__"
LARGEST = 8 * 1024 * 1024 - 4 * 1024
"""Largest message that a handler may send here, bytes: the platform's default."""


class Result:
    """What a handler sent, and how it ended."""

    def __init__(self, sent: list[Sent], error: BaseException | None) -> None:
        self._sent = sent
        self.error = error
        """What the handler raised; None if it returned. A handler that raised has sent nothing."""

    @property
    def channels(self) -> list[str]:
        """The channels of the ordinary outputs, in order; "" is the default one."""
        return [sent.channel for sent in self._sent if sent.kind is Kind.OK]

    def one(self, kind: type[Typed], channel: str = "") -> Typed:
        """Return the only output on a channel; an AssertionError if it is not of that type or not alone."""
        return self._only(self.all(kind, channel), f"output on {_name(channel)}")

    def all(self, kind: type[Typed], channel: str = "") -> list[Typed]:
        """Return the outputs on a channel, in order."""
        return self._unpacked(kind, Kind.OK, channel)

    def early_reply(self, kind: type[Typed], channel: str = "") -> Typed:
        """Return the only early reply on a channel."""
        return self._only(self._unpacked(kind, Kind.EARLY_REPLY, channel), f"early reply on {_name(channel)}")

    def early_exit(self, kind: type[Typed], channel: str = "") -> Typed:
        """Return the only early exit on a channel."""
        return self._only(self._unpacked(kind, Kind.EARLY_EXIT, channel), f"early exit on {_name(channel)}")

    @property
    def nothing(self) -> bool:
        """Whether the handler returned without having sent anything."""
        self._returned()
        return not self._sent

    def _returned(self) -> None:
        if self.error is not None:
            raise AssertionError(f"the handler failed: {text_of(self.error)}") from self.error

    def _unpacked(self, kind: type[Typed], sent_as: Kind, channel: str) -> list[Typed]:
        # An early reply has left at once, whatever became of the handler afterwards.
        if not sent_as.early:
            self._returned()
        found = []
        for sent in self._sent:
            if sent.kind is not sent_as or sent.channel != channel:
                continue
            body = any_pb2.Any.FromString(sent.body)
            message = kind()
            if not body.Unpack(message):
                received = body.type_url.rpartition("/")[2]
                raise AssertionError(f"the handler sent {received}, not {message.DESCRIPTOR.full_name}")
            found.append(message)
        return found

    def _only(self, found: list[Typed], what: str) -> Typed:
        if len(found) != 1:
            self._returned()
            others = ", ".join(f"{s.kind.value} on {_name(s.channel)}" for s in self._sent) or "nothing"
            raise AssertionError(f"expected one {what}, found {len(found)}; the handler sent: {others}")
        return found[0]


def _name(channel: str) -> str:
    return f"channel {channel}" if channel else "the default channel"


def call(
    module: ModuleType,
    message: Message,
    *,
    sender: str = ENTRYPOINT,
    env: Mapping[str, str] | None = None,
    kind: str = "ok",
    attempt: int = 1,
    request_id: str = "01TEST00000000000000000000",
    message_id: str = "01TEST00000000000000000000",
    deadline: datetime | None = None,
    fresh: bool = False,
) -> Result:
    """Run a module's init and the handler for sender with a message; return what was sent.

    init runs once per module and set of variables, before the first message; fresh=True runs it again and forgets
    what ctx.set kept. An Any is passed as it is, any other message inside one. kind is "ok", "error", "early-reply"
    or "early-exit". ctx.path starts at the project: the nearest folder above the module with a manifest.
    What init raises comes through; what the handler raises is Result.error.
    """
    with _environment(env or {}):
        process, loop = _prepared(module, env or {}, fresh)
        outputs = Kept(LARGEST)
        what = Kind(kind)  # type: ignore[call-arg]
        run = Run(
            kind=what.number,  # type: ignore[arg-type]
            sender=sender,
            request_id=request_id,
            message_id=message_id,
            attempt=attempt,
            deadline_unix_us=_unix_us(deadline),
        )
        context = Context(process, run, outputs)
        handlers = of_module(module)
        if handlers.typed and what is not Kind.OK:
            return Result([], None)  # the platform passes it by a typed handler
        try:
            _handle(handlers, context, message, sender, loop)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return Result([sent for sent in outputs.sent if sent.kind.early], error)
        finally:
            outputs.close()
        if outputs.refused is not None:
            return Result([sent for sent in outputs.sent if sent.kind.early], outputs.refused)
        return Result(outputs.sent, None)


def _handle(
    handlers: Handlers, context: Context, message: Message, sender: str, loop: asyncio.AbstractEventLoop
) -> None:
    handler = handlers.choose(sender)
    body = message
    if not isinstance(message, any_pb2.Any):
        body = any_pb2.Any()
        body.Pack(message)
    result = _finished(handler.function(context, handler.argument(body.SerializeToString(), sender)), loop)
    if handlers.typed and result is not None:
        context.send_output(result)


def _finished(result: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """Return what a call returned, or what its coroutine returns."""
    if not inspect.isawaitable(result):
        return result

    async def wait() -> Any:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return loop.run_until_complete(wait())
    with ThreadPoolExecutor(1) as beside:  # the test itself runs on a loop, and a thread has but one
        return beside.submit(loop.run_until_complete, wait()).result()


class _Prepared:
    """Processes of a module, kept in the module, one for each environment it was called with."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.processes: dict[tuple[tuple[str, str], ...], Process] = {}

    def __del__(self) -> None:
        if not self.loop.is_closed():
            self.loop.close()


def _prepared(module: ModuleType, env: Mapping[str, str], fresh: bool) -> tuple[Process, asyncio.AbstractEventLoop]:
    prepared = vars(module).setdefault(_NAME, _Prepared())
    key = tuple(sorted(env.items()))
    if fresh or key not in prepared.processes:
        file = Path(module.__file__ or os.getcwd()).resolve()
        process = Process("test", "test", file.parent.name, _root(file))
        init = of_module(module).init
        if init is not None:
            _finished(init(Context(process)), prepared.loop)
        prepared.processes[key] = process
    return prepared.processes[key], prepared.loop


def _unix_us(time: datetime | None) -> int:
    return 0 if time is None else (time - datetime.fromtimestamp(0, timezone.utc)) // timedelta(microseconds=1)


def _root(file: Path) -> Path:
    for folder in file.parents:
        if any((folder / name).is_file() for name in _MANIFESTS):
            return folder
    return file.parent


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
