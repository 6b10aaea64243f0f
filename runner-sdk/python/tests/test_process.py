"""A worker as a process: its start and its end."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kre
from harness import ECHO, IMPORTS, Start, pack
from kre.worker_pb2 import End, Hello, Stop, ToWorker

FORMS = pytest.mark.parametrize("form", ["def", "async def"])
BLOCK = (
    IMPORTS
    + """
    import pathlib, time

    {form} default_handler(ctx, data):
        print(f"began {heard(data)}")
        while heard(data) == "block" and not pathlib.Path(ctx.path("go")).exists():
            time.sleep(0.001)
        ctx.send_any(data)
"""
)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def f(:\n    pass", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise StopIteration", "StopIteration"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): open('nowhere')", "FileNotFoundError: "),
        ("def default_handler(ctx, data): ...\ndef init(ctx): raise StopIteration", "StopIteration"),
        ("def default_handler(ctx, data): ...\nasync def init(ctx): 1 / 0", "ZeroDivisionError: division by zero"),
        ("async def default_handler(ctx, data): ...\ndef init(ctx): raise SystemExit(0)", "SystemExit: 0"),
        ("async def default_handler(ctx, data): ...\ndef init(ctx): raise StopIteration", "StopIteration"),
        ("async def default_handler(ctx, data): ...\nasync def init(ctx): raise SystemExit(0)", "SystemExit: 0"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): ctx.send_output(1)", "TypeError: only protobuf"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): ctx.request_id", "there is no message while init runs"),
        ("def default_handler(ctx, data): ...\ndef init(ctx): ctx.deadline", "there is no message while init runs"),
        ("x = 1", "kre: main has no handler; decorate a function with @kre.handler"),
    ],
)
def test_a_module_that_does_not_start_says_why_and_ends(start: Start, code: str, told: str) -> None:
    worker = start(code, ready=False)
    assert worker.wait() == 1
    assert told in worker.stderr
    assert not re.search(r"/kre/(worker|plain|looped|runs|loader)\.py", worker.stderr)
    assert not any(frame.HasField("ready") for frame in worker.frames)


def test_an_import_error_shows_the_line_of_the_module(start: Start) -> None:
    worker = start("\n\nimport nowhere", ready=False)
    worker.wait()
    assert f'File "{worker.root}/src/node/main.py", line 3, in <module>' in worker.stderr


def test_src_that_is_not_there_is_named(start: Start) -> None:
    worker = start("", ready=False, src="src/other/main.py")
    assert worker.wait() == 1
    assert worker.stderr == f"kre: src src/other/main.py is not in the package {worker.root}\n"


def test_a_missing_variable_is_named(start: Start) -> None:
    worker = start("", ready=False, env={"KRE_WORKER_FD": ""})
    assert worker.wait() == 1
    assert worker.stderr == "kre: KRE_WORKER_FD is not set: a node is started by kre run or by the platform\n"


def test_what_is_no_frame_ends_the_worker(start: Start) -> None:
    worker = start(ECHO.replace("{form}", "def"))
    worker._ours.sendall(b"\0\0\0\2\xff\xff")
    assert worker.wait() == 1
    assert worker.stderr == "kre: the runner sent what is no frame of the worker protocol\n"


@FORMS
def test_ready_is_the_first_frame_after_init_and_says_what_it_runs_on(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form))
    assert worker.frames[0].ready.protocol == 1
    assert worker.frames[0].ready.runtime == f"Python {sys.version.split()[0]}, kre-sdk {kre.__version__}"


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{kre.__version__}"' in project


def form_of(code: str, form: str) -> str:
    return code.replace("{form}", form)


def test_modules_find_their_neighbours_the_root_and_generated_code(start: Start) -> None:
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
    root = start("", ready=False).root
    for path in ("src/node/beside.py", "at_root.py", ".kre/gen/python/generated_pb2.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"name = '{Path(path).stem} '")
    assert start(importing).call("x") == "beside at_root generated_pb2 "


@FORMS
def test_modules_beside_src_that_are_called_as_pythons_own_do_no_harm_to_the_sdk(start: Start, form: str) -> None:
    root = start("", ready=False).root
    for name in ("queue", "json", "inspect", "selectors", "subprocess", "linecache", "sysconfig"):
        (root / "src" / "node" / f"{name}.py").write_text("raise RuntimeError('not the one that was meant')")
    worker = start(form_of(ECHO, form))
    assert worker.call("x") == "x"
    assert worker.fail(b"\xff").outcome == End.OUTCOME_FINAL


@FORMS
def test_stop_lets_the_run_end_that_has_begun_and_no_other_begin(start: Start, form: str) -> None:
    worker = start(form_of(BLOCK, form))
    runs = [worker.made(text) for text in ("block", "a", "b", "c")]
    worker.send(*runs)
    worker.eventually(lambda: worker.printed("began block"), "the handler to begin")
    worker.stop()
    (worker.root / "go").touch()
    assert worker.texts(1) == ["block"]
    assert [worker.fail_of(number).outcome for number in (2, 3, 4)] == [End.OUTCOME_NOT_BEGUN] * 3
    assert worker.wait() == 0
    assert worker.stdout == "began block\n"


@FORMS
def test_a_run_whose_turn_comes_too_late_is_not_begun_and_the_next_one_is(start: Start, form: str) -> None:
    worker = start(form_of(BLOCK, form))
    now = time.time_ns() // 1000
    expires = (0, now, now + 1, now + 3_600_000_000)
    worker.send(
        *(worker.made(text, expires_unix_us=us) for text, us in zip(("block", "a", "b", "c"), expires, strict=True))
    )
    worker.eventually(lambda: worker.printed("began block"), "the handler to begin")
    (worker.root / "go").touch()
    assert worker.texts(1) == ["block"]
    assert [worker.fail_of(number).outcome for number in (2, 3)] == [End.OUTCOME_NOT_BEGUN] * 2
    assert worker.texts(4) == ["c"]
    assert worker.stdout == "began block\nbegan c\n"


@FORMS
def test_stop_right_behind_runs_lets_none_begin(start: Start, form: str) -> None:
    worker = start(form_of(BLOCK, form))
    worker.send(worker.made("block"))
    worker.eventually(lambda: worker.printed("began block"), "the handler to begin")
    large = pack(StringValue(value="x" * 40_000))
    worker.send(*(worker.made(large) for _ in range(3)), ToWorker(stop=Stop()))
    (worker.root / "go").touch()
    assert [worker.fail_of(number).outcome for number in (2, 3, 4)] == [End.OUTCOME_NOT_BEGUN] * 3
    assert worker.wait() == 0


@FORMS
def test_an_idle_worker_ends_with_stop(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form))
    worker.call("x")
    worker.stop()
    assert worker.wait() == 0
    assert worker.stderr == ""


@pytest.mark.parametrize("form", ["def", "async def"])
def test_a_worker_that_is_told_to_stop_while_its_init_runs_ends_after_it(start: Start, form: str) -> None:
    slow = form_of(
        BLOCK
        + """
    {form} init(ctx):
        print("init")
        while not pathlib.Path(ctx.path("go")).exists():
            time.sleep(0.001)
    """,
        form,
    )
    worker = start(slow, ready=False)
    worker.eventually(lambda: worker.printed("init"), "init to begin")
    worker.stop()
    (worker.root / "go").touch()
    assert worker.wait() == 0


@FORMS
def test_threads_and_tasks_of_the_authors_do_not_keep_a_worker_alive(start: Start, form: str) -> None:
    threads = form_of(
        ECHO
        + """
    import asyncio, threading, time

    @kre.init
    {form} init(ctx):
        async def for_ever():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
        threading.Thread(target=time.sleep, args=[3600]).start()
        if "{form}" == "async def":
            ctx.set("task", asyncio.create_task(for_ever()))
    """,
        form,
    )
    worker = start(threads)
    worker.call("x")
    worker.stop()
    assert worker.wait() == 0


@FORMS
def test_what_was_printed_and_registered_for_the_end_comes_out(start: Start, form: str) -> None:
    leaving = form_of(
        ECHO
        + """
    import atexit
    atexit.register(print, "atexit", end="")
    print("without a line feed", end=" ")
    """,
        form,
    )
    worker = start(leaving)
    worker.stop()
    assert worker.wait() == 0
    assert worker.stdout == "without a line feed atexit"


def test_tasks_of_the_authors_are_cancelled_at_the_end(start: Start) -> None:
    keeping = (
        ECHO.replace("{form}", "async def")
        + """
    import asyncio

    @kre.init
    async def init(ctx):
        async def keep():
            try:
                await asyncio.sleep(3600)
            finally:
                print("tidied up")
        ctx.set("task", asyncio.create_task(keep()))
    """
    )
    worker = start(keeping)
    worker.call("x")
    worker.stop()
    assert worker.wait() == 0
    assert worker.printed("tidied up")


@FORMS
def test_an_idle_worker_without_a_runner_ends(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form))
    worker.gone()
    assert worker.wait() == 0
    assert worker.stderr == ""


def test_a_worker_without_a_runner_ends_in_the_middle_of_an_asynchronous_handler(start: Start) -> None:
    waiting = (
        IMPORTS
        + """
    import asyncio

    async def default_handler(ctx, data):
        print("began", end="\\n...")
        await asyncio.sleep(3600)
    """
    )
    worker = start(waiting)
    worker.run("x")
    worker.eventually(lambda: worker.printed("began"), "the handler to begin")
    worker.gone()
    assert worker.wait() == 0
    assert worker.stdout.endswith("...")


@FORMS
def test_a_worker_without_a_runner_ends_when_it_has_something_to_say(start: Start, form: str) -> None:
    saying = form_of(
        IMPORTS
        + """
    import time

    {form} default_handler(ctx, data):
        print("began")
        while True:
            ctx.logger.info("still here")
            time.sleep(0.001)
    """,
        form,
    )
    worker = start(saying)
    worker.run("x")
    worker.eventually(lambda: worker.printed("began"), "the handler to begin")
    worker.gone()
    assert worker.wait() == 0


def test_a_worker_whose_runner_dies_before_it_began_ends(start: Start) -> None:
    worker = start("", ready=False, protocol=1, node="x")
    worker.gone()
    assert worker.wait() in (0, 1)  # 1 if it was faster: there is no handler


def test_the_sdk_touches_no_signal(start: Start) -> None:
    looking = (
        IMPORTS
        + """
    import signal
    {also}
    def default_handler(ctx, data):
        set_ = [s.name for s in signal.valid_signals() if isinstance(s, signal.Signals)
                and signal.getsignal(s) not in (signal.SIG_DFL, None)]
        ctx.send_output(say(f"{sorted(set_)} {signal.set_wakeup_fd(-1)}"))
    """
    )
    also = "async def from_etl(ctx, data): ...\n    custom_handlers = {'etl': from_etl}"
    plain = start(looking.replace("{also}", "")).call("x")
    assert plain == "['SIGINT', 'SIGPIPE', 'SIGXFSZ'] -1"  # as Python sets them
    looped = start(looking.replace("{also}", also + "\n    signal.set_wakeup_fd = lambda fd: -1")).call("x")
    assert looped == plain


def test_a_worker_without_asynchronous_functions_has_no_event_loop_and_no_other_thread(start: Start) -> None:
    looking = (
        IMPORTS
        + """
    import sys, threading

    def default_handler(ctx, data):
        ctx.send_output(say(f"{'asyncio' in sys.modules} {threading.active_count()}"))
    """
    )
    assert start(looking).call("x") == "False 1"


def test_hello_may_come_in_pieces(start: Start) -> None:
    worker = start(ECHO.replace("{form}", "def"), ready=False, version="v" * 300_000)
    worker.ready()
    assert worker.call("x") == "x"
    worker.send(ToWorker(hello=Hello(protocol=1)))  # comes once; another changes nothing
    assert worker.call("y") == "y"
