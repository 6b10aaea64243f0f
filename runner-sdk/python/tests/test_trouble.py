"""A broker that is away, full or silent, and an entrypoint that does not confirm."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from google.protobuf.wrappers_pb2 import StringValue

from harness import Node, Server, Version, eventually, pack, running
from kre import wire
from test_delivery import ECHO, GREET, IMPORTS, PASS


def reconnected(version: Version, times: int) -> bool:
    return version.nc.stats["reconnects"] >= times


async def test_a_reply_is_repeated_until_it_is_confirmed(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        version.confirming = False
        request = await version.send("Ada")
        await eventually(lambda: len(version.replies.get(request, [])) >= 3, "the reply to be repeated")
        await version.holding("greet", 1)
        assert (await version.answer(await version.send("Bob"))).text == "Hello Bob"
        version.confirming = True
        await version.idle("greet")
        count = len(version.replies[request])
        assert {reply.text for reply in version.replies[request]} == {"Hello Ada"}
        await version.call("next")
        assert len(version.replies[request]) == count


async def test_a_reply_ends_when_the_callers_wait_is_over(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        version.confirming = False
        request = await version.send("Ada", headers={wire.TIMEOUT: "2500"})
        await version.idle("greet")
        assert len(version.replies.get(request, [])) <= 6  # one each half second
        assert any("stays unanswered" in line["message"] for line in version.processes[0].lines)


async def test_a_reply_to_an_entrypoint_that_is_gone_is_given_up(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        await version.send("Ada", headers={wire.REPLY_TO: f"kre.{version.id}._reply.gone"})
        await version.idle("greet")
        (line,) = [line for line in version.processes[0].lines if "stays unanswered" in line["message"]]
        assert line["level"] == "warn"


async def test_a_full_stream_pushes_back_and_loses_nothing(server: Server, tmp_path: Path) -> None:
    nodes = [Node("a", PASS), Node("b", PASS, ["a"])]
    async with running(Version(server, tmp_path, nodes, max_msgs=20), start=False) as version:
        await version.start("a")
        requests = [await version.send(str(i)) for i in range(20)]
        await version.idle("a")
        requests += [await version.send(str(i)) for i in range(20, 40)]
        await eventually(lambda: any("refused" in line["message"] for line in version.processes[0].lines), "a refusal")
        await version.holding("a", 20)
        await version.start("b")
        for i, request in enumerate(requests):
            assert (await version.answer(request)).text == str(i)
        await version.idle("a")
        assert await version.dead() == []


async def test_taken_batch_slots_are_waited_for(tmp_path: Path) -> None:
    server = Server(tmp_path / "nats", batch_slots=1)
    server.start()
    many = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        for text in "abc":
            ctx.send_output(say(text))
    """
    )
    nodes = [Node("many", many), Node("b", PASS, ["many"])]
    try:
        async with running(Version(server, tmp_path, nodes)) as version:
            await version.nc.publish(  # an open batch, as a killed process leaves it behind
                f"kre.{version.id}.w.from.many.out",
                b"",
                headers={"Nats-Batch-Id": "open", "Nats-Batch-Sequence": "1"},
            )
            request = await version.send("x")
            await eventually(lambda: len(version.replies.get(request, [])) == 3, "three answers")
            assert [reply.text for reply in version.replies[request]] == ["a", "b", "c"]
            assert any("batch" in line["message"] for line in version.processes[0].lines)
    finally:
        server.kill()


async def test_a_broker_that_restarts_costs_no_answer(own_server: Server, tmp_path: Path) -> None:
    nodes = [Node("a", PASS), Node("b", PASS, ["a"])]
    async with running(Version(own_server, tmp_path, nodes)) as version:
        requests = []
        for round_ in range(3):
            for i in range(40):
                requests.append(await version.send(f"{round_} {i}"))
            own_server.kill()
            own_server.start()
            await eventually(partial(reconnected, version, round_ + 1), "the test itself to be connected")
        for i, request in enumerate(requests):
            assert (await version.answer(request)).text == f"{i // 40} {i % 40}"
        await version.idle("a")
        await version.idle("b", "a")
        assert all(process.process.poll() is None for process in version.processes)


async def test_a_node_waits_for_a_broker_that_is_not_there_yet(own_server: Server, tmp_path: Path) -> None:
    async with running(Version(own_server, tmp_path, [Node("greet", GREET)]), start=False) as version:
        own_server.kill()
        process = await version.start("greet", ready=False)
        await eventually(lambda: "broker" in process.output, "the node to tell that it waits")
        assert process.process.poll() is None
        own_server.start()
        await process.ready()
        assert (await version.call("Ada")).text == "Hello Ada"


async def test_a_node_stops_while_the_broker_is_away(own_server: Server, tmp_path: Path) -> None:
    async with running(Version(own_server, tmp_path, [Node("greet", GREET)])) as version:
        process = version.processes[0]
        own_server.kill()
        await eventually(lambda: "connection to the broker lost" in process.output, "the node to notice")
        process.terminate()
        assert await process.end() == 0


async def test_an_output_whose_confirmation_was_lost_is_stored_once(own_server: Server, tmp_path: Path) -> None:
    """The stream takes the message, but the connection ends before the node can learn it."""
    slow = (
        IMPORTS
        + """
    import kre.broker

    original = kre.broker.Broker.request
    lost = []

    async def losing(self, subject, body, headers=None, timeout=5.0):
        answer = await original(self, subject, body, headers, timeout)
        if ".from.slow." in subject and not lost:
            lost.append(answer)
            raise kre.broker.NoAnswer("lost on the way")
        return answer

    kre.broker.Broker.request = losing

    def default_handler(ctx, data):
        for i in range(int(heard(data))):
            ctx.send_output(say(f"output {i}"))
    """
    )
    nodes = [Node("slow", slow), Node("last", ECHO, ["slow"])]
    for outputs in (1, 3):
        folder = tmp_path / str(outputs)
        async with running(Version(own_server, folder, nodes), start=False) as version:
            await version.start("slow")
            await version.send(str(outputs))
            await version.idle("slow")
            stored = await version.stored(version.stream("slow"))
            assert [m.text for m in stored] == [f"output {i}" for i in range(outputs)]
            assert await version.dead() == []


async def test_handlers_go_on_while_confirmations_are_pending(server: Server, tmp_path: Path) -> None:
    """A run that waits for the stream does not keep the next handler from starting."""
    telling = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        print(f"ran {heard(data)}")
        ctx.send_any(data)
    """
    )
    nodes = [Node("a", telling), Node("b", PASS, ["a"])]
    async with running(Version(server, tmp_path, nodes, max_msgs=10), start=False) as version:
        process = await version.start("a")
        for i in range(10):
            await version.send(str(i))
        await version.idle("a")
        for i in range(10, 20):
            await version.send(str(i))
        await eventually(lambda: all(process.printed(f"ran {i}") == 1 for i in range(20)), "all handlers to run")
        await version.holding("a", 10)


async def test_nothing_is_kept_of_messages_that_have_ended(server: Server, tmp_path: Path) -> None:
    counting = (
        IMPORTS
        + """
    import gc
    from kre.message import Message
    from kre.session import Session

    def default_handler(ctx, data):
        if heard(data) != "count":
            return ctx.send_any(data)
        gc.collect()
        objects = gc.get_objects()
        (session,) = [o for o in objects if isinstance(o, Session)]
        kept = sum(isinstance(o, Message) for o in objects)
        here = [len(session._held), len(session._lives._tasks), len(session._broker._waiting)]
        ctx.send_output(say(f"{kept} {here}"))
    """
    )
    async with running(Version(server, tmp_path, [Node("counting", counting)])) as version:
        await asyncio.gather(*(version.call(str(i)) for i in range(300)))
        await version.idle("counting")
        kept, _, here = (await version.call("count")).text.partition(" ")
        assert int(kept) <= 2  # the one that counts, and perhaps the last one in a frame
        assert here == "[1, 1, 0]"


async def test_headers_of_a_stranger_do_no_harm(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        strange = {wire.RESEND: "many", wire.TIMEOUT: "soon", wire.ACCEPTED_AT: "", wire.KIND: "new"}
        assert (await version.answer(await version.send("Ada", headers=strange))).text == "Hello Ada"
        await version.nc.jetstream().publish(f"kre.{version.id}.w.entry", pack(StringValue(value="x")))
        await version.idle("greet")
