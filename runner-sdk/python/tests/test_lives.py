"""Which handler runs when, without a broker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from google.protobuf.wrappers_pb2 import StringValue

from harness import eventually, pack
from kre import wire
from kre.broker import Broker
from kre.config import DeadLetters, NodeConfig
from kre.context import Process
from kre.handlers import of_module
from kre.lives import MOST_CONFIRMING, Held, Lives
from kre.message import Message
from kre.pull import Puller
from kre.userland import Job, Userland
from kre.wire import Delivery

NODE = NodeConfig(
    "v", "w", "n", "n", "main.py", True, True, 1, 30000, (), None, DeadLetters("dead", "dead.n"), "starts"
)


class Runs:
    """Ends runs when the test says so."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.go_on = asyncio.Event()

    async def succeeded(self, message: Message, *_: object) -> None:
        self.began.append(message.id)
        await self.go_on.wait()


class Starts:
    """A bucket in memory."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.highest = 0

    async def count(self, message_id: str) -> int:
        return self.counts.get(message_id, 0)

    async def record(self, message_id: str, count: int) -> None:
        self.counts[message_id] = count
        self.highest = max(self.highest, count)

    async def forget(self, message_id: str) -> None:
        del self.counts[message_id]


class Bench:
    """Lives with a user's thread, and everything else played."""

    def __init__(self) -> None:
        broker = type("Unlimited", (), {"max_payload": 1 << 20})()
        process = Process("v", "w", "n", Path())
        self.lives = Lives(NODE, process, cast(Broker, broker), lambda held: None, self.ended)
        self.runs = Runs()
        self.starts = Starts()
        self.lives.runs = cast(Any, self.runs)
        self.lives._starts = cast(Any, self.starts)
        self.handled: list[str] = []
        self.done: list[str] = []

    async def __aenter__(self) -> Bench:
        def load() -> Any:
            module = ModuleType("main")
            vars(module)["default_handler"] = lambda ctx, data: self.handled.append(ctx.message_id)
            return of_module(module)

        self.userland = Userland(load, self.tell)
        handlers = await asyncio.wrap_future(self.userland.start())
        self.lives.open(self.userland, handlers)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.runs.go_on.set()
        self.userland.stop()

    def tell(self, job: Job) -> None:
        self.lives.tell(job)

    def ended(self, held: Held) -> None:
        self.done.append(held.message.id)

    def deliver(self, name: str, count: int = 1) -> None:
        message = Message(
            "s", "ack", pack(StringValue()), {wire.MESSAGE_ID: name}, Delivery("stream", hash(name), count, 0)
        )
        self.lives.begin(Held(message, cast(Puller, None)))


async def test_a_message_delivered_often_waits_until_nothing_is_to_be_confirmed_and_then_runs_alone() -> None:
    async with Bench() as bench:
        bench.deliver("before")
        bench.deliver("often", count=3)
        bench.deliver("behind")
        await eventually(lambda: bench.runs.began == ["before"], "the first run to wait for its confirmation")
        assert bench.handled == ["before"]
        assert bench.starts.highest == 0
        bench.runs.go_on.set()
        await eventually(lambda: bench.done == ["before", "often", "behind"], "the others to end in turn")
        assert bench.handled == ["before", "often", "behind"]
        assert bench.starts.highest == 1
        assert bench.starts.counts == {}


async def test_past_so_many_unconfirmed_runs_no_handler_is_started() -> None:
    async with Bench() as bench:
        for i in range(MOST_CONFIRMING + 50):
            bench.deliver(str(i))
        await eventually(lambda: len(bench.runs.began) == MOST_CONFIRMING, "runs to wait for confirmations")
        bench.deliver("one more")
        await asyncio.sleep(0)
        assert len(bench.handled) == MOST_CONFIRMING
        bench.runs.go_on.set()
        await eventually(lambda: len(bench.done) == MOST_CONFIRMING + 51, "all of them to end")
        assert bench.handled == [str(i) for i in range(MOST_CONFIRMING + 50)] + ["one more"]
