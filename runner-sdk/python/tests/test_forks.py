"""Processes that a handler makes: they are as Python makes them, and the worker goes on."""

from __future__ import annotations

import json

import pytest

from harness import IMPORTS, Start, Worker

MODES = pytest.mark.parametrize("also", ["", "async def other(ctx, data): ...\n    custom_handlers = {'other': other}"])
CHILDREN = (
    IMPORTS
    + """
    import contextlib, io, logging, multiprocessing, os, signal, sys, time
    from concurrent.futures import ProcessPoolExecutor
    mp = multiprocessing.get_context("fork")

    def work():
        time.sleep(3600)

    def die():
        os._exit(1)

    def process():
        p = mp.Process(target=work); p.start()
        p.terminate(); p.join()
        return p.exitcode

    def pool():
        with mp.Pool(2) as pool:
            result = pool.apply_async(work)
        return result.ready()

    def broken():
        with ProcessPoolExecutor(2, mp_context=mp) as executor:
            busy = executor.submit(work); executor.submit(die)
            try:
                busy.result()
            except Exception as error:
                return type(error).__name__

    def results():
        with ProcessPoolExecutor(2, mp_context=mp) as executor:
            return list(executor.map(abs, [-1, -2]))

    def log_in_child():
        ctx = current[0]
        ctx.logger.error("from ctx of the child \\ud83d")
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            logging.getLogger("lib").warning("from a library of the child")

    def log():
        p = mp.Process(target=log_in_child); p.start(); p.join()
        return p.exitcode

    def send_in_child():
        for send in (current[0].send_output, current[0].send_early_reply):
            try:
                send(say("x"))
            except RuntimeError as error:
                print(error)

    def send():
        p = mp.Process(target=send_in_child); p.start(); p.join()
        return p.exitcode

    current = []

    def default_handler(ctx, data):
        current[:] = [ctx]
        ctx.send_output(say(repr(globals()[heard(data)]())))

    {also}
"""
)


def begun(start: Start, also: str) -> Worker:
    return start(CHILDREN.replace("{also}", also))


@MODES
@pytest.mark.parametrize(
    ("what", "result"),
    [("process", "-15"), ("pool", "False"), ("broken", "'BrokenProcessPool'"), ("results", "[1, 2]")],
)
def test_children_end_and_report_as_in_plain_python(start: Start, also: str, what: str, result: str) -> None:
    worker = begun(start, also)
    assert worker.call(what) == result
    assert worker.call(what) == result


@MODES
def test_a_child_writes_its_records_to_standard_error(start: Start, also: str) -> None:
    worker = begun(start, also)
    assert worker.call("log") == "0"
    first, second = (json.loads(line) for line in worker.stderr.splitlines() if line.startswith("{"))
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "error",
        "message": "from ctx of the child \ufffd",
        "workflow": "w",
        "node": "node",
        "version": "v1",
        "request_id": "request-1",
        "message_id": "message-1",
        "attempt": 1,
    }
    assert (second["level"], second["message"]) == ("warn", "from a library of the child")
    assert second["request_id"] == "request-1"
    assert worker.records == []


@MODES
def test_a_child_cannot_send(start: Start, also: str) -> None:
    worker = begun(start, also)
    assert worker.call("send") == "0"
    told = "this process was forked from the node's: what it sends would reach nobody"
    assert worker.stdout.splitlines() == [told, told]


@MODES
def test_a_child_does_not_have_the_socket(start: Start, also: str) -> None:
    sockets = """
    def sockets():
        found = 0
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        return found

    def count():
        p = mp.Process(target=lambda: print("child", sockets())); p.start(); p.join()
        ours = sockets()
        os.system("ls -l /proc/self/fd | grep -c socket: | sed 's/^/program /'")
        return ours, "KRE_WORKER_FD" in os.environ
    """
    worker = start(CHILDREN.replace("{also}", also) + sockets)
    ours, named = eval(worker.call("count"))
    looped = 2 if also else 0  # the loop's own pair
    assert (ours - looped, named) == (1, False)
    assert worker.stdout.splitlines() == [f"child {looped}", "program 0"]


@pytest.mark.parametrize("form", ["def", "async def"])
@pytest.mark.parametrize(
    ("statement", "code"),
    [("return", 0), ("sys.exit(7)", 7), ("sys.exit('no')", 1), ("raise ValueError('in the child')", 1)],
)
def test_a_child_that_leaves_the_handler_ends_without_a_word_to_the_runner(
    start: Start, form: str, statement: str, code: int
) -> None:
    forking = (
        IMPORTS
        + f"""
    import os, sys

    {form} default_handler(ctx, data):
        child = os.fork()
        if child == 0:
            {statement}
        _, status = os.waitpid(child, 0)
        ctx.send_output(say(str(os.waitstatus_to_exitcode(status))))
    """
    )
    worker = start(forking)
    assert worker.call("x") == str(code)
    assert worker.call("x") == str(code)
    assert ("in the child" in worker.stderr) == ("ValueError" in statement)
