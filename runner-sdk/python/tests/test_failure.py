"""What becomes of messages whose handler fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from google.protobuf import any_pb2
from google.protobuf.wrappers_pb2 import Int64Value
from google.rpc import error_details_pb2

from harness import Node, Process, Server, Version, eventually, pack, running
from kre import wire
from test_delivery import ECHO, GREET, IMPORTS

FAIL = (
    IMPORTS
    + """
    @kre.handler
    def fail(ctx, request: StringValue) -> StringValue:
        ctx.send_output(say("dropped"))
        return {}[request.value]
"""
)
LISTEN = (
    IMPORTS
    + """
    def default_handler(ctx, data):
        if ctx.is_message_error():
            status = kre.Status()
            assert data.Unpack(status)
            print(f"{ctx.node} was told by {ctx.sender}: {status.message}")
        else:
            print(f"{ctx.node} got {heard(data)}")
"""
)


def told(process: Process) -> bool:
    return "was told" in process.output


async def test_an_exhausted_message_is_told_to_everybody_once(server: Server, tmp_path: Path) -> None:
    nodes = [Node("fail", FAIL), Node("one", LISTEN, ["fail", "fail.x"]), Node("two", LISTEN, ["fail"])]
    async with running(Version(server, tmp_path, nodes, max_attempts=3)) as version:
        request = await version.send("nmae", headers={"Strange": "kept", "Nats-Expected-Stream": version.stream()})
        reply = await version.answer(request)
        assert reply.kind == "error"
        assert reply.headers["Kre-Sender"] == "fail"
        assert (reply.error.code, reply.error.message) == (13, "fail: KeyError: 'nmae'")
        info = error_details_pb2.ErrorInfo()
        assert reply.error.details[0].Unpack(info)
        assert (info.reason, info.domain) == ("NODE_FAILED", "kre")
        assert dict(info.metadata) == {
            "node": "fail",
            "workflow": "w",
            "request_id": request,
            "message_id": request,
            "attempts": "3",
        }
        from_fail = [r.kind for r in version.replies[request] if r.headers["Kre-Sender"] == "fail"]
        assert from_fail == ["attempt-failed"] * 3 + ["error"]
        await version.idle("fail")
        for process in version.processes[1:]:
            name = "one" if process is version.processes[1] else "two"
            await eventually(partial(told, process), "the error to arrive")
            await version.idle(name, "fail")
            assert [line for line in process.output.splitlines() if line.startswith(name)] == [
                f"{name} was told by fail: fail: KeyError: 'nmae'"
            ]
        (dead,) = await version.dead()
        assert dead.text == "nmae"
        assert dead.headers["subject"].endswith("._dead.w.fail")
        assert dead.headers["Nats-Msg-Id"] == wire.run_id(request, "w", "fail")
        assert dead.headers["Kre-Error"] == "KeyError: 'nmae'"
        assert dead.headers["Kre-Attempts"] == "3"
        assert dead.headers["Kre-Input-Subject"] == f"kre.{version.id}.w.entry"
        assert int(dead.headers["Kre-Failed-At"]) > 0
        assert dead.headers["Strange"] == "kept"
        assert dead.headers[wire.MESSAGE_ID] == request
        assert "Nats-Expected-Stream" not in dead.headers


async def test_a_failure_is_logged_with_file_line_and_attempt(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("fail", FAIL)])) as version:
        request = await version.send("nmae")
        await version.answer(request)
        (line,) = [line for line in version.processes[0].lines if line["level"] == "error"]
        assert line["where"] == "src/fail/main.py:16"
        assert line["error"] == "KeyError: 'nmae'"
        assert (line["request_id"], line["message_id"], line["attempt"]) == (request, request, 1)
        assert (line["node"], line["workflow"], line["version"]) == ("fail", "w", version.id)
        assert line["stack"].splitlines()[-1] == "KeyError: 'nmae'"
        assert "kre/userland.py" not in line["stack"]


async def test_a_failure_in_text_is_one_line_for_a_person(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("fail", FAIL)], env={"KRE_LOG_FORMAT": "text"})) as version:
        await version.call("nmae")
        assert "fail  ERROR 01TEST src/fail/main.py:16 KeyError: 'nmae' attempt 1/1" in version.processes[0].output


async def test_another_attempt_may_succeed_while_others_go_on(server: Server, tmp_path: Path) -> None:
    flaky = (
        IMPORTS
        + """
    import pathlib
    go = None

    @kre.init
    def init(ctx):
        global go
        go = pathlib.Path(ctx.path("go"))

    @kre.handler
    def flaky(ctx, request: StringValue) -> StringValue:
        ctx.send_output(say("of a failed attempt"), "x")
        if request.value == "hard" and not go.exists():
            raise RuntimeError("not yet")
        return say(f"{request.value} in attempt {min(ctx.attempt, 2)}")
    """
    )
    nodes = [Node("flaky", flaky), Node("last", ECHO, ["flaky.x"])]
    async with running(Version(server, tmp_path, nodes, exitpoint="flaky", max_attempts=1000)) as version:
        hard = await version.send("hard")
        await version.answer(hard, "attempt-failed")
        for i in range(20):
            assert (await version.call(f"easy {i}")).text == f"easy {i} in attempt 1"
        (version.root / "go").touch()
        assert (await version.answer(hard)).text == "hard in attempt 2"
        await version.idle("flaky")
        await version.idle("last", "flaky")
        assert await version.dead() == []


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise kre.FinalError('no such customer')", "no such customer"),
        ("raise type('Gone', (kre.FinalError,), {})('it is gone')", "Gone: it is gone"),
    ],
)
async def test_a_final_error_has_one_attempt(server: Server, tmp_path: Path, statement: str, error: str) -> None:
    final = (
        IMPORTS
        + f"""
    async def default_handler(ctx, data):
        {statement}
    """
    )
    async with running(Version(server, tmp_path, [Node("final", final)], max_attempts=5)) as version:
        request = await version.send("x")
        reply = await version.answer(request)
        assert reply.error.message == f"final: {error}"
        assert [r.kind for r in version.replies[request]] == ["attempt-failed", "error"]
        (dead,) = await version.dead()
        assert dead.headers["Kre-Attempts"] == "1"


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise StopIteration", "StopIteration"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("ctx.send_output('text')", "TypeError: only protobuf messages can be sent, not str"),
        ("ctx.db.save('c', {})", "NotAvailableError: ctx.db.save is not available yet in this version of KRE"),
    ],
)
@pytest.mark.parametrize("form", ["def", "async def"])
async def test_whatever_a_handler_raises_is_a_failed_attempt(
    server: Server, tmp_path: Path, form: str, statement: str, error: str
) -> None:
    raising = (
        IMPORTS
        + f"""
    {form} default_handler(ctx, data):
        if heard(data) == "fail":
            {statement}
        ctx.send_any(data)
    """
    )
    async with running(Version(server, tmp_path, [Node("raising", raising)])) as version:
        told = (await version.call("fail")).error.message
        if (form, statement) == ("async def", "raise StopIteration"):
            error = "RuntimeError: coroutine raised StopIteration"  # as Python has it
        assert told == f"raising: {error}"
        assert (await version.call("x")).text == "x"


async def test_a_handler_that_cancels_its_own_task_harms_only_itself(server: Server, tmp_path: Path) -> None:
    cancelling = (
        IMPORTS
        + """
    import asyncio

    async def default_handler(ctx, data):
        asyncio.current_task().cancel()
        if heard(data) == "wait":
            await asyncio.sleep(0)
        ctx.send_any(data)
    """
    )
    async with running(Version(server, tmp_path, [Node("cancelling", cancelling)])) as version:
        assert (await version.call("x")).text == "x"
        assert (await version.call("wait")).error.message == "cancelling: CancelledError"
        assert (await version.call("y")).text == "y"


async def test_a_message_of_the_wrong_type_names_sender_and_types(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)], max_attempts=5)) as version:
        reply = await version.call(Int64Value(value=1))
        assert reply.error.message == (
            "greet: the handler for entrypoint expects google.protobuf.StringValue "
            "and received google.protobuf.Int64Value"
        )


async def test_without_a_handler_for_the_sender_the_message_is_given_up(server: Server, tmp_path: Path) -> None:
    picky = (
        IMPORTS
        + """
    custom_handlers = {"etl": lambda ctx, data: ctx.send_any(data)}
    """
    )
    async with running(Version(server, tmp_path, [Node("picky", picky)], max_attempts=5)) as version:
        reply = await version.call("x")
        assert reply.error.message == (
            "picky: no handler for what entrypoint sent: there is no default handler, only for etl"
        )


async def test_typed_nodes_pass_an_error_on_to_the_caller(server: Server, tmp_path: Path) -> None:
    nodes = [Node("fail", FAIL), Node("greet", GREET, ["fail"]), Node("last", GREET, ["greet"])]
    async with running(Version(server, tmp_path, nodes), start=False) as version:
        await version.start("fail")
        await version.start("greet")
        request = await version.send("x")
        await version.idle("fail")
        await version.idle("greet", "fail")
        (passed,) = await version.stored(version.stream("greet"))
        assert passed.kind == "error"
        assert passed.headers[wire.SENDER] == "greet"
        assert passed.headers["subject"].endswith("from.greet.error")
        assert passed.error.message == "fail: KeyError: 'x'"
        version.replies.clear()  # what fail told the caller itself
        await version.start("last")
        assert (await version.answer(request, "error")).error.message == "fail: KeyError: 'x'"
        await version.idle("last", "greet")
        assert len(await version.dead()) == 1


async def test_an_error_that_is_handled_badly_is_logged_and_done_with(server: Server, tmp_path: Path) -> None:
    worse = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        raise RuntimeError(f"worse on attempt {ctx.attempt}")
    """
    )
    nodes = [Node("fail", FAIL), Node("worse", worse, ["fail"])]
    async with running(Version(server, tmp_path, nodes, max_attempts=2)) as version:
        request = await version.send("x")
        await version.answer(request)
        await version.idle("worse", "fail")
        errors = [line["error"] for line in version.processes[1].lines if line["level"] == "error"]
        assert errors == ["RuntimeError: worse on attempt 1"]
        assert len(await version.dead()) == 1


async def test_what_is_too_large_is_a_final_error_that_names_both_sizes(server: Server, tmp_path: Path) -> None:
    large = (
        IMPORTS
        + """
    async def default_handler(ctx, data):
        try:
            await ctx.send_output(say("x" * 8 * 1024 * 1024))
        except Exception:
            pass
    """
    )
    async with running(Version(server, tmp_path, [Node("large", large)], max_attempts=5)) as version:
        reply = await version.call("x")
        assert reply.error.message == (
            "large: a message of 8388667 bytes cannot be sent: the broker takes at most 8384512 bytes"
        )


async def test_a_dead_letter_as_large_as_the_broker_takes_keeps_its_body(server: Server, tmp_path: Path) -> None:
    failing = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        raise RuntimeError("y" * 100_000)
    """
    )
    async with running(Version(server, tmp_path, [Node("failing", failing)])) as version:
        body = b"x" * (8 * 1024 * 1024 - 1000)
        request = await version.send(any_pb2.Any(type_url="a/b", value=body).SerializeToString())
        reply = await version.answer(request)
        assert len(reply.error.message) < 5000
        (dead,) = await version.dead()
        assert any_pb2.Any.FromString(dead.body).value == body
        assert dead.headers["Kre-Error"].startswith("RuntimeError: yyy")


async def test_an_earlier_success_stands_when_a_later_run_fails(server: Server, tmp_path: Path) -> None:
    failing = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        if heard(data) == "fail":
            raise RuntimeError("too late")
        ctx.send_any(data)
    """
    )
    nodes = [Node("failing", failing), Node("last", GREET, ["failing"])]
    async with running(Version(server, tmp_path, nodes), start=False) as version:
        await version.start("failing")
        request = await version.send("x")
        await version.idle("failing")
        await version.send("fail", headers={wire.MESSAGE_ID: request, wire.REQUEST_ID: request, "Nats-Msg-Id": "again"})
        await version.idle("failing")
        (stored,) = await version.stored(version.stream("failing"))
        assert stored.text == "x"
        assert await version.dead() == []
        assert [r.kind for r in version.replies[request]] == ["attempt-failed"]


async def test_an_interrupted_end_of_an_exhausted_message_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    """The error is stored, then the process dies: the next one finds its own error and goes on."""
    nodes = [Node("fail", FAIL), Node("last", GREET, ["fail"])]
    async with running(Version(server, tmp_path, nodes), start=False) as version:
        request = f"01TEST{1:020d}"
        run = wire.run_id(request, "w", "fail")
        await version.nc.jetstream().publish(
            f"kre.{version.id}.w.from.fail.error",
            pack(Int64Value()),
            headers={"Nats-Msg-Id": run, wire.KIND: "error", wire.MESSAGE_ID: wire.output_id(run, 0)},
        )
        await version.start("fail")
        assert await version.send("x") == request
        assert (await version.answer(request)).kind == "error"
        await version.idle("fail")
        assert len(await version.dead()) == 1
