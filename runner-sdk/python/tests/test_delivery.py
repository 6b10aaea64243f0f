"""A message's way through nodes, over a real broker."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from google.protobuf.wrappers_pb2 import Int64Value

from harness import Node, Server, Version, eventually, pack, running, text
from kre import wire

IMPORTS = """
    import kre
    from google.protobuf.wrappers_pb2 import StringValue

    def say(text):
        return StringValue(value=text)

    def heard(data):
        value = StringValue()
        assert data.Unpack(value)
        return value.value
"""
GREET = (
    IMPORTS
    + """
    @kre.handler
    def greet(ctx, request: StringValue) -> StringValue:
        return say(f"Hello {request.value}")
"""
)
ECHO = (
    IMPORTS
    + """
    async def default_handler(ctx, data):
        await ctx.send_any(data)
"""
)
PASS = (
    IMPORTS
    + """
    @kre.handler
    def pass_on(ctx, request: StringValue) -> StringValue:
        return request
"""
)


def answered(version: Version, request: str, times: int) -> bool:
    return len(version.replies.get(request, [])) == times


async def test_a_typed_exitpoint_answers_the_caller(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        reply = await version.call("Ada")
        assert (reply.kind, reply.text) == ("ok", "Hello Ada")
        assert reply.headers["Kre-Sender"] == "greet"
        assert reply.headers["Kre-Timing"].startswith("greet=")
        assert int(reply.headers["Kre-Sent-At"]) > 0
        await version.idle("greet")


async def test_headers_go_from_node_to_node(server: Server, tmp_path: Path) -> None:
    nodes = [Node("etl", ECHO), Node("model", ECHO, ["etl"]), Node("tap", ECHO, ["etl"])]
    async with running(Version(server, tmp_path, nodes, exitpoint="model"), start=False) as version:
        await version.start("etl")
        request = await version.send(
            "x", headers={"traceparent": "00-a-b-01", "tracestate": "k=v", "Kre-Label": "mine", "Strange": "gone"}
        )
        await version.idle("etl")
        stored = (await version.stored(version.stream("etl")))[0]
        entry = wire.run_id(request, "w", "etl")
        assert stored.headers["Nats-Msg-Id"] == entry
        assert stored.headers[wire.MESSAGE_ID] == wire.output_id(entry, 0)
        assert stored.headers[wire.REQUEST_ID] == request
        assert stored.headers[wire.SENDER] == "etl"
        assert stored.headers["traceparent"] == "00-a-b-01"
        assert stored.headers["tracestate"] == "k=v"
        assert stored.headers[wire.LABEL] == "mine"
        assert stored.headers[wire.TIMEOUT] == "30000"
        assert int(stored.headers[wire.ACCEPTED_AT]) > 1_600_000_000 * 10**9
        assert stored.headers[wire.TIMING].startswith("etl=")
        assert "Strange" not in stored.headers
        assert wire.KIND not in stored.headers
        await version.start("model")
        reply = await version.answer(request)
        assert [part.split("=")[0] for part in reply.headers[wire.TIMING].split(",")] == ["etl", "model"]


async def test_the_sender_chooses_the_handler(server: Server, tmp_path: Path) -> None:
    chooser = (
        IMPORTS
        + """
    def from_etl(ctx, data):
        ctx.send_output(say("from etl"))

    async def default_handler(ctx, data):
        await ctx.send_output(say(f"from {ctx.sender}"))

    custom_handlers = {"etl": from_etl}
    """
    )
    nodes = [Node("etl", ECHO), Node("other", ECHO), Node("last", chooser, ["etl", "other"])]
    async with running(Version(server, tmp_path, nodes)) as version:
        request = await version.send("x")
        await eventually(partial(answered, version, request, 2), "two answers")
        assert sorted(reply.text for reply in version.replies[request]) == ["from etl", "from other"]


async def test_a_channel_reaches_only_those_that_subscribe_to_it(server: Server, tmp_path: Path) -> None:
    sender = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        ctx.send_output(say("main"))
        ctx.send_output(say("side"), "side")
        ctx.send_output(say("nobody"), "nobody")
        ctx.send_output(say("nobody"), channel="nobody")
    """
    )
    listener = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        print(f"{ctx.node} got {heard(data)}")
        ctx.send_any(data)
    """
    )
    nodes = [
        Node("sender", sender),
        Node("main", listener, ["sender"]),
        Node("side", listener, ["sender.side"]),
        Node("both", listener, ["main", "side"]),
    ]
    async with running(Version(server, tmp_path, nodes)) as version:
        request = await version.send("x")
        await eventually(partial(answered, version, request, 2), "two answers")
        await version.idle("main", "sender")
        await version.idle("side", "sender")
        told, main, side, both = (process.output for process in version.processes)
        assert main.count("got") == 1
        assert "main got main" in main
        assert side.count("got") == 1
        assert "side got side" in side
        assert sorted(line for line in both.splitlines() if "got" in line) == ["both got main", "both got side"]
        assert told.count("nobody listens to channel nobody") == 1


async def test_a_fan_out_and_two_subscribers_run_each_message_once(server: Server, tmp_path: Path) -> None:
    counting = (
        IMPORTS
        + """
    @kre.handler
    def count(ctx, request: StringValue) -> StringValue:
        print(f"ran {request.value}")
        return say(ctx.node)
    """
    )
    nodes = [
        Node("a", GREET),
        Node("b", counting, ["a"]),
        Node("c", counting, ["a"]),
        Node("d", counting, ["a"]),
        Node("z", counting, ["b", "c", "d"]),
    ]
    async with running(Version(server, tmp_path, nodes)) as version:
        requests = [await version.send(str(i)) for i in range(20)]
        for request in requests:
            await eventually(partial(answered, version, request, 3), "three answers")
            assert sorted(reply.headers["Kre-Timing"].split(",")[1][0] for reply in version.replies[request]) == [
                "b",
                "c",
                "d",
            ]
        for process in version.processes[1:4]:
            assert [process.printed(f"ran Hello {i}") for i in range(20)] == [1] * 20


async def test_an_early_reply_answers_at_once_and_the_workflow_goes_on(server: Server, tmp_path: Path) -> None:
    early = (
        IMPORTS
        + """
    import asyncio, pathlib

    async def default_handler(ctx, data):
        await ctx.send_early_reply(say("early"))
        while not pathlib.Path(ctx.path("go")).exists():
            await asyncio.sleep(0.01)
        await ctx.send_output(say("late"))
    """
    )
    last = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        print(f"last got {heard(data)} {ctx.is_message_early_reply()} {ctx.is_message_ok()}")
        if ctx.is_message_ok():
            ctx.send_any(data)
    """
    )
    nodes = [Node("early", early), Node("last", last, ["early"])]
    async with running(Version(server, tmp_path, nodes)) as version:
        request = await version.send("x")
        reply = await version.answer(request)
        assert (reply.kind, reply.text) == ("early-reply", "early")
        await version.holding("early", 1)
        (version.root / "go").touch()
        assert (await version.answer(request, "ok")).text == "late"
        await version.idle("last", "early")
        assert version.processes[1].printed("last got early True False") == 1
        assert version.processes[1].printed("last got late False True") == 1


async def test_an_early_exit_is_all_that_is_stored(server: Server, tmp_path: Path) -> None:
    leaving = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        ctx.send_output(say("dropped"))
        ctx.send_early_exit(say("exit"))
        ctx.send_output(say("dropped too"))
    """
    )
    last = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        print(f"last got {heard(data)} {ctx.is_message_early_exit()}")
    """
    )
    nodes = [Node("leaving", leaving), Node("last", last, ["leaving"])]
    async with running(Version(server, tmp_path, nodes)) as version:
        reply = await version.call("x")
        assert (reply.kind, reply.text) == ("early-exit", "exit")
        await version.idle("leaving")
        await version.idle("last", "leaving")
        assert [line for line in version.processes[1].output.splitlines() if "got" in line] == ["last got exit True"]


async def test_typed_handlers_never_see_an_early_message(server: Server, tmp_path: Path) -> None:
    early = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        ctx.send_early_reply(say("early"))
    """
    )
    nodes = [Node("early", early), Node("greet", GREET, ["early"])]
    async with running(Version(server, tmp_path, nodes)) as version:
        request = await version.send("x")
        assert (await version.answer(request)).kind == "early-reply"
        await version.idle("early")
        await version.idle("greet", "early")
        assert [reply.kind for reply in version.replies[request]] == ["early-reply"]


async def test_a_run_that_sends_nothing_says_so(server: Server, tmp_path: Path) -> None:
    silent = (
        IMPORTS
        + """
    @kre.handler
    async def nothing(ctx, request: StringValue) -> None:
        pass
    """
    )
    async with running(Version(server, tmp_path, [Node("silent", silent)])) as version:
        reply = await version.answer(await version.send("x"), "nothing-sent")
        assert reply.body == b""
        await version.idle("silent")


async def test_many_outputs_are_one_batch_and_keep_their_order(server: Server, tmp_path: Path) -> None:
    many = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        for i in range(1203):
            ctx.send_output(say(str(i)))
    """
    )
    nodes = [Node("many", many), Node("last", GREET, ["many"])]
    async with running(Version(server, tmp_path, nodes), start=False) as version:
        await version.start("many")
        request = await version.send("x")
        await version.idle("many")
        stored = await version.stored(version.stream("many"))
        assert [text(message.body) for message in stored] == [str(i) for i in range(1203)]
        run = wire.run_id(request, "w", "many")
        assert [m.headers[wire.MESSAGE_ID] for m in stored] == [wire.output_id(run, i) for i in range(1203)]
        ids = [m.headers["Nats-Msg-Id"] for m in stored if "Nats-Msg-Id" in m.headers]
        assert ids == [run, f"{run}-2", f"{run}-3"]
        assert [m.headers["Nats-Batch-Sequence"] for m in (stored[0], stored[499], stored[500])] == ["1", "500", "1"]


async def test_a_second_run_adds_nothing_to_what_the_first_stored(server: Server, tmp_path: Path) -> None:
    counting = (
        IMPORTS
        + """
    import pathlib

    def default_handler(ctx, data):
        file = pathlib.Path(ctx.path("runs"))
        runs = int(file.read_text()) + 1 if file.exists() else 1
        file.write_text(str(runs))
        for i in range(int(heard(data))):
            ctx.send_output(say(f"run {runs} output {i}"))
    """
    )
    nodes = [Node("counting", counting), Node("last", GREET, ["counting"])]
    async with running(Version(server, tmp_path, nodes), start=False) as version:
        await version.start("counting")
        for outputs, again in (("1", "1"), ("1", "3"), ("3", "3"), ("3", "1")):
            request = await version.send(outputs)
            await version.idle("counting")
            before = [m.text for m in await version.stored(version.stream("counting"))]
            repeated = {wire.MESSAGE_ID: request, wire.REQUEST_ID: request, "Nats-Msg-Id": f"{request}-again"}
            await version.send(again, headers=repeated)
            await version.idle("counting")
            assert [m.text for m in await version.stored(version.stream("counting"))] == before
        await version.send("1", headers={**repeated, "Nats-Msg-Id": "resent", wire.RESEND: "1"})
        await version.idle("counting")
        assert len(await version.stored(version.stream("counting"))) == len(before) + 1


async def test_concurrent_requests_never_share_answers_or_contexts(server: Server, tmp_path: Path) -> None:
    mixing = (
        IMPORTS
        + """
    import asyncio, contextvars
    mine = contextvars.ContextVar("mine", default="unset")

    @kre.handler
    async def mix(ctx, request: StringValue) -> StringValue:
        assert mine.get() == "unset"
        mine.set(request.value)
        await asyncio.sleep(0)
        if request.value.endswith("7"):
            raise ValueError(f"no {request.value}")
        assert mine.get() == request.value
        return say(f"{request.value} {ctx.get_request_id()}")
    """
    )
    async with running(Version(server, tmp_path, [Node("mix", mixing), Node("pass", PASS, ["mix"])])) as version:
        requests = await asyncio.gather(*(version.send(str(i)) for i in range(200)))
        for i, request in enumerate(requests):
            reply = await version.answer(request)
            if str(i).endswith("7"):
                assert reply.kind == "error"
                assert reply.error.message == f"mix: ValueError: no {i}"
            else:
                assert reply.text == f"{i} {request}"


async def test_init_prepares_the_process_and_its_memory_stays(server: Server, tmp_path: Path) -> None:
    remembering = (
        IMPORTS
        + """
    async def init(ctx):
        ctx.set("greeting", open(ctx.path("data/greeting")).read())

    async def default_handler(ctx, data):
        ctx.set("calls", ctx.get("calls", 0) + 1)
        await ctx.send_output(say(f"{ctx.get('greeting')} {ctx.get('calls')} {ctx.get_attempt()}"))
    """
    )
    version = Version(server, tmp_path, [Node("remembering", remembering)])
    (version.root / "data").mkdir()
    (version.root / "data" / "greeting").write_text("Hi")
    async with running(version):
        assert (await version.call("x")).text == "Hi 1 1"
        assert (await version.call("x")).text == "Hi 2 1"


async def test_synchronous_handlers_beside_asynchronous_ones_can_use_the_loop(server: Server, tmp_path: Path) -> None:
    mixed = (
        IMPORTS
        + """
    import asyncio, threading
    seen = []

    async def init(ctx):
        async def tick():
            while True:
                seen.append(threading.current_thread().name)
                await asyncio.sleep(0.005)
        ctx.set("ticking", asyncio.create_task(tick()))

    def blocking(ctx, data):
        before = len(seen)
        while len(seen) < before + 3:  # the loop goes on while this blocks
            pass
        ctx.send_output(say(f"sync {seen[-1] != threading.current_thread().name}"))

    async def default_handler(ctx, data):
        await ctx.send_output(say(f"async {seen[-1] == threading.current_thread().name}"))

    custom_handlers = {"etl": blocking}
    """
    )
    async with running(
        Version(server, tmp_path, [Node("etl", ECHO), Node("mixed", mixed, ["etl", "entrypoint"])])
    ) as version:
        request = await version.send("x")
        await eventually(partial(answered, version, request, 2), "two answers")
        assert sorted(reply.text for reply in version.replies[request]) == ["async True", "sync True"]


async def test_a_message_without_a_caller_is_handled_all_the_same(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        await version.nc.jetstream().publish(f"kre.{version.id}.w.entry", pack(Int64Value(value=1)))
        await version.nc.jetstream().publish(f"kre.{version.id}.w.entry", b"\xff\xff")
        await version.idle("greet")
        assert len(await version.dead()) == 2
