"""A node as a process: its start, its end and what it does meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from harness import PATIENCE, Node, Server, Version, eventually, running, until
from kre import wire
from test_delivery import ECHO, GREET, IMPORTS

BLOCK = (
    IMPORTS
    + """
    import pathlib, time

    {form} default_handler(ctx, data):
        print(f"began {heard(data)}")
        while heard(data) == "block" and not pathlib.Path(ctx.path("go")).exists():
            time.sleep(0.01)
        print(f"ended {heard(data)}")
        ctx.send_any(data)
"""
)


async def ended(version: Version, ready: bool = False) -> tuple[int, str]:
    process = await version.start("node", ready=ready)
    return await process.end(), process.output


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def f(:\n    pass", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise StopIteration", "StopIteration"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): open('nowhere')", "FileNotFoundError: "),
        ("def default_handler(ctx, data): ...\nasync def init(ctx): 1 / 0", "ZeroDivisionError: division by zero"),
        ("async def default_handler(ctx, data): ...\ndef init(ctx): raise SystemExit(0)", "SystemExit: 0"),
        ("async def default_handler(ctx, data): ...\nasync def init(ctx): raise SystemExit(0)", "SystemExit: 0"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): ctx.send_output(1)", "TypeError: only protobuf"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): ctx.request_id", "there is no message while init runs"),
        ("x = 1", "kre: main has no handler; decorate a function with @kre.handler"),
    ],
)
async def test_a_module_that_does_not_start_says_why_and_ends(
    server: Server, tmp_path: Path, code: str, told: str
) -> None:
    async with running(Version(server, tmp_path, [Node("node", code)]), start=False) as version:
        exit_code, output = await ended(version)
        assert exit_code == 1
        assert told in output
        assert "kre/userland.py" not in output
        assert not version.processes[0].ready_file.exists()


async def test_an_import_error_shows_the_line_of_the_module(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("node", "\n\nimport nowhere")]), start=False) as version:
        _, output = await ended(version)
        assert f'File "{version.root}/src/node/main.py", line 3, in <module>' in output


async def test_src_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("node", GREET)]), start=False) as version:
        (version.root / "src" / "node" / "main.py").unlink()
        exit_code, output = await ended(version)
        assert exit_code == 1
        assert f"kre: src src/node/main.py is not in the package {version.root}" in output


@pytest.mark.parametrize("missing", ["KRE_CONFIG", "KRE_NATS_URL"])
async def test_a_missing_variable_is_named(server: Server, tmp_path: Path, missing: str) -> None:
    version = Version(server, tmp_path, [Node("node", GREET)], env={missing: ""})
    async with running(version, start=False):
        exit_code, output = await ended(version)
        assert exit_code == 1
        assert f"kre: {missing} is not set" in output


async def test_a_missing_consumer_is_named(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("node", GREET)]), start=False) as version:
        await version.api(f"CONSUMER.DELETE.{version.stream()}.node", {})
        exit_code, output = await ended(version)
        assert exit_code == 1
        assert f"kre: the consumer node of stream {version.stream()} does not exist" in output


async def test_a_consumer_that_disappears_ends_the_process(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("node", GREET)])) as version:
        await version.api(f"CONSUMER.DELETE.{version.stream()}.node", {})
        assert await version.processes[0].end() == 1
        assert f"the consumer node of stream {version.stream()} does not exist" in version.processes[0].output
        assert not version.processes[0].ready_file.exists()


async def test_modules_find_their_neighbours_the_root_and_generated_code(server: Server, tmp_path: Path) -> None:
    importing = (
        IMPORTS
        + """
    import asyncio
    import beside, at_root, generated_pb2

    asyncio.run(asyncio.sleep(0))  # allowed while the module is imported

    async def default_handler(ctx, data):
        await ctx.send_output(say(beside.name + at_root.name + generated_pb2.name))
    """
    )
    version = Version(server, tmp_path, [Node("node", importing)])
    for path in ("src/node/beside.py", "at_root.py", ".kre/gen/python/generated_pb2.py"):
        (version.root / path).parent.mkdir(parents=True, exist_ok=True)
        (version.root / path).write_text(f"name = '{Path(path).stem} '")
    async with running(version):
        assert (await version.call("x")).text == "beside at_root generated_pb2 "


async def test_log_lines_carry_the_ids_of_their_message(server: Server, tmp_path: Path) -> None:
    logging = (
        IMPORTS
        + """
    import logging

    def init(ctx):
        ctx.logger.info("from init")

    def default_handler(ctx, data):
        print("plain text passes")
        ctx.logger.info("from ctx %d", 1)
        ctx.logger.debug("not from here on")
        logging.getLogger("somebody").warning("from elsewhere")
        ctx.measurement.save("m", {"a": 1}, {})
        ctx.measurement.save("m", {"a": 1}, {})
        try:
            1 / 0
        except ZeroDivisionError:
            ctx.logger.exception("caught")
        ctx.send_any(data)
    """
    )
    async with running(Version(server, tmp_path, [Node("node", logging)])) as version:
        request = await version.send("x")
        await version.answer(request)
        process = version.processes[0]
        assert process.printed("plain text passes") == 1
        lines = {line["message"]: line for line in process.lines}
        assert "request_id" not in lines["from init"]
        assert lines["from ctx 1"]["level"] == "info"
        assert lines["from elsewhere"]["level"] == "warn"
        for message in ("from ctx 1", "from elsewhere", "caught"):
            line = lines[message]
            assert (line["request_id"], line["message_id"], line["attempt"]) == (request, request, 1)
            assert (line["version"], line["workflow"], line["node"]) == (version.id, "w", "node")
            assert line["time"].endswith("Z")
        assert lines["caught"]["error"] == "ZeroDivisionError: division by zero"
        assert "in default_handler" in lines["caught"]["stack"]
        assert "not from here on" not in lines
        assert [m["message"] for m in process.lines if "measurement" in m["message"]] == [
            "ctx.measurement.save is not available yet: measurements are dropped"
        ]


@pytest.mark.parametrize("form", ["def", "async def"])
async def test_a_blocking_handler_keeps_its_message_and_its_neighbours(
    server: Server, tmp_path: Path, form: str
) -> None:
    """It blocks for longer than the broker waits for a sign of life."""
    async with running(Version(server, tmp_path, [Node("node", BLOCK.replace("{form}", form))])) as version:
        blocking = await version.send("block")
        behind = await version.send("behind")
        process = version.processes[0]
        await eventually(lambda: process.printed("began block"), "the handler to begin")
        info = await version.api(f"CONSUMER.INFO.{version.stream()}.node", {})
        signs = await version.nc.subscribe(f"$JS.ACK.{version.stream()}.node.>")
        for _ in range(6):  # one each half second, and the broker waits for two
            assert (await signs.next_msg(timeout=PATIENCE)).data == b"+WPI"
        after = await version.api(f"CONSUMER.INFO.{version.stream()}.node", {})
        assert after["delivered"]["consumer_seq"] == info["delivered"]["consumer_seq"]
        (version.root / "go").touch()
        assert (await version.answer(blocking)).text == "block"
        assert (await version.answer(behind)).text == "behind"
        assert process.printed("began block") == 1


async def test_a_redelivery_of_a_held_message_is_dropped(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("node", BLOCK.replace("{form}", "def"))])) as version:
        process = version.processes[0]
        for i in range(30):  # so that it knows to be fast and asks for more than one message
            await version.call(f"warm {i}")
        request = await version.send("block")
        await eventually(lambda: process.printed("began block"), "the handler to begin")
        # The test gives the message back in the node's name, so that the broker delivers it again.
        last = (await version.api(f"CONSUMER.INFO.{version.stream()}.node", {}))["delivered"]
        held = f"{last['stream_seq']}.{last['consumer_seq']}"
        await version.nc.publish(f"$JS.ACK.{version.stream()}.node.1.{held}.0.0", b"-NAK")

        async def delivered_again() -> bool:
            info = await version.api(f"CONSUMER.INFO.{version.stream()}.node", {})
            return bool(info["delivered"]["consumer_seq"] > last["consumer_seq"])

        await until(delivered_again, "the message to be delivered again")
        (version.root / "go").touch()
        await version.answer(request)
        assert (await version.call("next")).text == "next"
        await version.idle("node")
        assert process.printed("began block") == 1


async def test_a_slow_handler_hoards_nothing(server: Server, tmp_path: Path) -> None:
    async with running(
        Version(server, tmp_path, [Node("node", BLOCK.replace("{form}", "def"))]), start=False
    ) as version:
        requests = [await version.send(text) for text in ("block", "a", "b", "c")]
        first = await version.start("node")
        await eventually(lambda: first.printed("began block"), "the handler to begin")
        second = await version.start("node")
        for request in requests[1:]:
            await version.answer(request)
        assert [second.printed(f"ended {name}") for name in "abc"] == [1, 1, 1]
        (version.root / "go").touch()
        await version.answer(requests[0])


@pytest.mark.parametrize("form", ["def", "async def"])
async def test_a_terminated_process_finishes_what_it_runs_and_gives_the_rest_back(
    server: Server, tmp_path: Path, form: str
) -> None:
    code = BLOCK.replace("{form}", form)
    async with running(Version(server, tmp_path, [Node("node", code)])) as version:
        process = version.processes[0]
        for i in range(30):  # so that it knows to be fast and holds more than one message
            await version.call(f"warm {i}")
        blocking = await version.send("block")
        await eventually(lambda: process.printed("began block"), "the handler to begin")
        behind = [await version.send(f"behind {i}") for i in range(20)]
        process.terminate()
        await eventually(lambda: not process.ready_file.exists(), "the ready file to go")
        second = await version.start("node")
        for i, request in enumerate(behind):
            assert (await version.answer(request)).text == f"behind {i}"
        assert all(second.printed(f"began behind {i}") == 1 for i in range(20))
        assert process.process.poll() is None
        (version.root / "go").touch()
        assert (await version.answer(blocking)).text == "block"
        assert await process.end() == 0
        assert not any(process.printed(f"began behind {i}") for i in range(20))
        await version.idle("node")


async def test_a_message_that_waits_for_another_attempt_is_given_back(server: Server, tmp_path: Path) -> None:
    failing = (
        IMPORTS
        + """
    import pathlib

    def default_handler(ctx, data):
        if not pathlib.Path(ctx.path("go")).exists():
            raise RuntimeError("not yet")
        ctx.send_any(data)
    """
    )
    async with running(Version(server, tmp_path, [Node("node", failing)], max_attempts=1000)) as version:
        request = await version.send("x")
        await version.answer(request, "attempt-failed")
        version.processes[0].terminate()
        assert await version.processes[0].end() == 0
        assert await version.dead() == []
        (version.root / "go").touch()
        await version.start("node")
        assert (await version.answer(request)).text == "x"


async def test_a_process_that_is_told_to_stop_while_it_starts_ends(server: Server, tmp_path: Path) -> None:
    slow = (
        IMPORTS
        + """
    import time
    print("importing")
    time.sleep(3600)
    """
    )
    async with running(Version(server, tmp_path, [Node("node", slow)]), start=False) as version:
        process = await version.start("node", ready=False)
        await eventually(lambda: process.printed("importing"), "the import to begin")
        process.terminate()
        assert await process.end() == 0


async def test_threads_of_the_users_do_not_keep_a_process_alive(server: Server, tmp_path: Path) -> None:
    threads = (
        IMPORTS
        + """
    import threading, time

    def init(ctx):
        threading.Thread(target=time.sleep, args=[3600]).start()

    def default_handler(ctx, data):
        ctx.send_any(data)
    """
    )
    async with running(Version(server, tmp_path, [Node("node", threads)])) as version:
        await version.call("x")
        version.processes[0].terminate()
        assert await version.processes[0].end() == 0


async def starts(version: Version) -> list[str]:
    info = await version.api(f"STREAM.INFO.KV_starts_{version.id}", {"subjects_filter": ">"})
    found = []
    for subject in info["state"].get("subjects") or {}:
        answer = await version.api(f"STREAM.MSG.GET.KV_starts_{version.id}", {"last_by_subj": subject})
        found.append(json.dumps([subject.split(".", 2)[2], "hdrs" in answer["message"]]))
    return found


async def test_a_message_that_kills_its_process_goes_to_the_dead_letters_without_its_neighbours(
    server: Server, tmp_path: Path
) -> None:
    deadly = (
        IMPORTS
        + """
    import os, time

    @kre.handler
    async def deadly(ctx, request: StringValue) -> StringValue:
        if request.value == "poison":
            os._exit(9)
        return request
    """
    )
    async with running(Version(server, tmp_path, [Node("node", deadly)], max_attempts=5), start=False) as version:
        good = [await version.send(f"good {i}") for i in range(50)]
        poison = await version.send("poison")
        good += [await version.send(f"good {i}") for i in range(50, 100)]
        deaths = 0
        for _ in range(20):
            process = await version.start("node", ready=False)
            while process.process.poll() is None and not all(
                any(r.kind in ("ok", "error") for r in version.replies.get(request, [])) for request in (*good, poison)
            ):
                await asyncio.sleep(0.01)
            if process.process.poll() is None:
                break
            deaths += 1
        assert deaths == 5
        for i, request in enumerate(good):
            assert (await version.answer(request)).text == f"good {i}"
        reply = await version.answer(poison)
        assert reply.error.message == "node: the process ended 5 times while it handled this message"
        (dead,) = await version.dead()
        assert dead.text == "poison"
        assert dead.headers["Kre-Attempts"] == "5"
        assert dead.headers["Kre-Error"] == "the process ended 5 times while it handled this message"
        await version.idle("node")

        async def forgotten() -> bool:  # which comes after the acknowledgement
            return all(json.loads(found)[1] for found in await starts(version))

        await until(forgotten, "every record to be deleted")


async def test_a_message_delivered_often_is_recorded_before_its_handler_and_forgotten_after(
    server: Server, tmp_path: Path
) -> None:
    async with running(
        Version(server, tmp_path, [Node("node", BLOCK.replace("{form}", "def"))]), start=False
    ) as version:
        request = await version.send("block")
        for _ in range(2):
            await version.take_and_give_back("node")
        process = await version.start("node")
        await eventually(lambda: process.printed("began block"), "the handler to begin")
        behind = await version.send("behind")
        assert [json.loads(found) for found in await starts(version)] == [[f"node.{request}", False]]
        (version.root / "go").touch()
        await version.answer(request)
        await version.answer(behind)
        await version.idle("node")
        assert [json.loads(found) for found in await starts(version)] == [[f"node.{request}", True]]


async def test_a_failing_message_delivered_often_still_has_its_attempts(server: Server, tmp_path: Path) -> None:
    failing = (
        IMPORTS
        + """
    def default_handler(ctx, data):
        if heard(data) == "fail":
            raise RuntimeError(f"attempt {ctx.attempt}")
        ctx.send_any(data)
    """
    )
    async with running(Version(server, tmp_path, [Node("node", failing)], max_attempts=3), start=False) as version:
        request = await version.send("fail")
        for _ in range(2):
            await version.take_and_give_back("node")
        await version.start("node")
        assert (await version.answer(request)).error.message == "node: RuntimeError: attempt 3"
        assert (await version.call("x")).text == "x"
        assert [json.loads(found) for found in await starts(version)] == [[f"node.{request}", True]]


async def test_a_killed_process_loses_nothing(server: Server, tmp_path: Path) -> None:
    nodes = [Node("a", GREET), Node("b", ECHO, ["a"])]
    async with running(Version(server, tmp_path, nodes)) as version:
        requests = []
        for i in range(90):
            requests.append(await version.send(str(i)))
            if i in (30, 60):
                version.processes[-2 if i == 30 else -1].kill()
                await version.start("a" if i == 30 else "b", ready=False)
                if i == 30:
                    version.processes[0], version.processes[-1] = version.processes[-1], version.processes[0]
        for i, request in enumerate(requests):
            reply = await version.answer(request)
            assert reply.text == f"Hello {i}"
            assert reply.headers[wire.REQUEST_ID] == request
        await version.idle("a")
        await version.idle("b", "a")
