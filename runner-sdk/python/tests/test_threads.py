"""Which thread the author's functions run on."""

from __future__ import annotations

import pytest

from harness import IMPORTS, Start

FORMS = pytest.mark.parametrize("form", ["def", "async def"])
THREADS = (
    IMPORTS
    + """
    import threading

    @kre.init
    {init} load(ctx):
        ctx.set("thread", threading.get_ident())

    def told(ctx):
        main = threading.current_thread() is threading.main_thread()
        return say(f"{'main' if main else 'other'} {ctx.get('thread') == threading.get_ident()}")

    @kre.handler("plain")
    def plain(ctx, request: StringValue) -> StringValue:
        return told(ctx)
"""
)
ASYNC = """
    @kre.handler("async")
    async def asynchronous(ctx, request: StringValue) -> StringValue:
        return told(ctx)
"""


def test_plain_functions_alone_share_the_main_thread(start: Start) -> None:
    worker = start(THREADS.replace("{init}", "def"))
    assert [worker.call("x", sender="plain") for _ in range(3)] == ["main True"] * 3


def test_what_a_plain_init_made_is_for_plain_handlers_whatever_others_there_are(start: Start) -> None:
    """The case of a SQLite connection, which may be used on its own thread only."""
    sqlite = (
        IMPORTS
        + """
    import sqlite3

    @kre.init
    def load(ctx):
        ctx.set("db", sqlite3.connect(":memory:"))

    @kre.handler
    def count(ctx, request: StringValue) -> StringValue:
        return say(str(ctx.get("db").execute("select 1").fetchone()))
    """
    )
    other = """
    @kre.handler("other")
    async def other(ctx, request: StringValue) -> StringValue:
        return request
    """
    assert start(sqlite).call("x") == "(1,)"
    beside = start(sqlite + other)
    assert beside.call("x") == "(1,)"
    assert beside.call("x", sender="other") == "x"
    assert beside.call("x") == "(1,)"


def test_plain_functions_share_one_thread_beside_asynchronous_ones(start: Start) -> None:
    worker = start(THREADS.replace("{init}", "def") + ASYNC)
    senders = ["plain", "async", "plain", "async", "plain"]
    told = [worker.call("x", sender=sender) for sender in senders]
    assert told == ["other True", "main False", "other True", "main False", "other True"]


def test_asynchronous_functions_share_the_main_threads_loop(start: Start) -> None:
    worker = start(THREADS.replace("{init}", "async def") + ASYNC)
    assert worker.call("x", sender="async") == "main True"
    assert worker.call("x", sender="plain") == "other False"


def test_what_a_plain_init_made_is_for_asynchronous_handlers_where_there_are_no_others(start: Start) -> None:
    worker = start(
        IMPORTS
        + """
    import asyncio, sqlite3

    @kre.init
    def load(ctx):
        ctx.set("db", sqlite3.connect(":memory:"))
        ctx.set("loop", asyncio.get_running_loop())

    @kre.handler
    async def count(ctx, request: StringValue) -> StringValue:
        assert ctx.get("loop") is asyncio.get_running_loop()
        return say(str(ctx.get("db").execute("select 1").fetchone()))
    """
    )
    assert worker.call("x") == "(1,)"


def test_a_contextvar_that_a_plain_init_sets_is_set_for_plain_handlers(start: Start) -> None:
    setting = (
        IMPORTS
        + """
    import contextvars
    mine = contextvars.ContextVar("mine", default="unset")
    mine.set("import")

    @kre.init
    def load(ctx):
        mine.set(mine.get() + " init")

    @kre.handler("plain")
    def plain(ctx, request: StringValue) -> StringValue:
        return say(mine.get())
    """
    )
    assert start(setting).call("x", sender="plain") == "import init"
    assert start(setting.replace("say(mine", "say('beside ' + mine") + ASYNC).call("x", sender="plain") == (
        "beside import init"
    )


def test_tasks_that_init_began_go_on_between_runs_and_beside_plain_handlers(start: Start) -> None:
    ticking = (
        IMPORTS
        + """
    import asyncio, threading
    seen = []

    async def init(ctx):
        async def tick():
            while True:
                seen.append(threading.current_thread())
                await asyncio.sleep(0)
        ctx.set("ticking", asyncio.create_task(tick()))

    def blocking(ctx, data):
        before = len(seen)
        while len(seen) < before + 3:  # the loop goes on while this blocks
            pass
        ctx.send_output(say(f"plain {seen[-1] is threading.current_thread()}"))

    async def default_handler(ctx, data):
        before = len(seen)
        while len(seen) < before + 3:
            await asyncio.sleep(0)
        ctx.send_output(say(f"async {seen[-1] is threading.current_thread()}"))

    custom_handlers = {"etl": blocking}
    """
    )
    worker = start(ticking)
    assert worker.call("x", sender="etl") == "plain False"
    assert worker.call("x") == "async True"
    assert worker.call("x", sender="etl") == "plain False"


def test_a_handler_that_cancels_its_own_task_harms_only_itself(start: Start) -> None:
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
    worker = start(cancelling)
    assert worker.call("x") == "x"
    assert worker.fail("wait").error == "CancelledError"
    assert worker.call("y") == "y"


def test_a_handler_that_cancels_every_task_and_stops_the_loop_harms_only_itself(start: Start) -> None:
    destructive = (
        IMPORTS
        + """
    import asyncio

    async def default_handler(ctx, data):
        if heard(data) == "break":
            asyncio.get_running_loop().stop()
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(0)
        ctx.send_any(data)

    def plain(ctx, data):
        ctx.send_any(data)

    custom_handlers = {"plain": plain}
    """
    )
    worker = start(destructive)
    assert worker.call("x") == "x"
    assert worker.fail("break").error == "CancelledError"
    assert worker.call("y") == "y"
    assert worker.call("z", sender="plain") == "z"


def test_a_background_task_that_leaves_does_not_end_the_worker(start: Start) -> None:
    leaving = (
        IMPORTS
        + """
    import asyncio, sys

    async def leave():
        sys.exit(3)

    async def init(ctx):
        ctx.set("in init", asyncio.create_task(leave()))
        await asyncio.sleep(0)

    async def default_handler(ctx, data):
        ctx.set("task", asyncio.create_task(leave()))
        await asyncio.sleep(0)
        ctx.send_any(data)
    """
    )
    worker = start(leaving)
    assert worker.call("x") == "x"
    record = worker.record("a background task tried to end the process")
    assert record.error == "SystemExit: 3"
    assert worker.call("y") == "y"


@FORMS
def test_an_interrupt_in_a_handler_fails_its_run_alone(start: Start, form: str) -> None:
    interrupted = (
        IMPORTS
        + """
    import os, signal

    {form} default_handler(ctx, data):
        if heard(data) == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                pass
        ctx.send_any(data)
    """
    )
    worker = start(interrupted.replace("{form}", form))
    assert worker.fail("interrupt").error == "KeyboardInterrupt"
    assert worker.call("x") == "x"
