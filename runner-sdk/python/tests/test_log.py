"""What becomes of records and prints."""

from __future__ import annotations

import time

import pytest

from harness import IMPORTS, Start
from kre.worker_pb2 import Level, LogRecord

MODES = pytest.mark.parametrize("also", ["", "async def other(ctx, data): ...\n    custom_handlers = {'other': other}"])


def logging(body: str, also: str = "") -> str:
    lines = "\n        ".join(body.strip().splitlines())
    return f"""{IMPORTS}
    import contextlib, io, logging, sys, threading
    {also}
    def default_handler(ctx, data):
        {lines}
"""


CONFIGURE = """
import logging.config
mine = logging.getLogger("mine")
logging.config.dictConfig({"version": 1, "handlers": {"h": {"class": "logging.StreamHandler"}},
                           "root": {"handlers": ["h"], "level": "INFO"}})
"""


@MODES
def test_records_carry_the_ids_of_their_message(start: Start, also: str) -> None:
    telling = logging(
        """
ctx.logger.info("from ctx %d", 1)
ctx.logger.debug("not from here on")
logging.getLogger("somebody").warning("from elsewhere")
ctx.measurement.save("m", {"a": 1}, {})
ctx.measurement.save("m", {"a": 1}, {})
try:
    1 / 0
except ZeroDivisionError:
    ctx.logger.exception("caught")
""",
        also + '\n    def init(ctx): ctx.logger.info("from init")',
    )
    worker = start(telling)
    worker.texts(worker.run("x", attempt=2))
    records = {record.message: record for record in worker.records}
    for message in ("from ctx 1", "from elsewhere", "caught"):
        record = records[message]
        assert (record.request_id, record.message_id, record.attempt) == ("request-1", "message-1", 2)
    assert records["from init"].request_id == ""
    assert records["from ctx 1"].level == Level.LEVEL_INFO
    assert records["from elsewhere"].level == Level.LEVEL_WARN
    assert records["caught"].level == Level.LEVEL_ERROR
    assert records["caught"].error == "ZeroDivisionError: division by zero"
    assert "in default_handler" in records["caught"].stack
    assert abs(records["caught"].time_unix_ns - time.time_ns()) < 3600 * 10**9
    assert "not from here on" not in records
    assert sum("measurement" in message for message in records) == 1
    assert worker.stderr == worker.stdout == ""


@MODES
def test_records_come_before_the_end_of_their_run_and_from_any_thread(start: Start, also: str) -> None:
    worker = start(
        logging(
            """
threads = [threading.Thread(target=logging.getLogger("lib").info, args=["%d " + "x" * 5000, i]) for i in range(50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctx.send_any(data)
""",
            also,
        )
    )
    assert worker.call("x") == "x"
    kinds = [frame.WhichOneof("frame") for frame in worker.frames]
    assert kinds == ["ready", *["log"] * 50, "output", "end"]
    assert sorted(int(record.message.split()[0]) for record in worker.records) == list(range(50))


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        (Level.LEVEL_DEBUG, ["debug", "info", "warn", "error", "fatal"]),
        (Level.LEVEL_INFO, ["info", "warn", "error", "fatal"]),
        (Level.LEVEL_UNSPECIFIED, ["info", "warn", "error", "fatal"]),
        (Level.LEVEL_WARN, ["warn", "error", "fatal"]),
        (Level.LEVEL_ERROR, ["error", "fatal"]),
    ],
)
def test_records_below_the_level_are_not_sent(start: Start, level: Level, seen: list[str]) -> None:
    telling = logging(
        """
log = logging.getLogger("lib")
log.setLevel(logging.DEBUG)
log.debug("debug"); log.info("info"); log.warning("warn"); log.error("error"); log.critical("fatal")
"""
    )
    worker = start(telling, log_level=level)
    worker.texts(worker.run("x"))
    assert [record.message for record in worker.records] == seen
    assert worker.records[-1].level == Level.LEVEL_ERROR


def after(start: Start, configuring: str, also: str = "") -> tuple[list[LogRecord], str]:
    worker = start(logging(configuring, also))
    worker.texts(worker.run("x"))
    return worker.records, worker.stderr


@MODES
def test_a_dictconfig_of_the_authors_loses_no_record(start: Start, also: str) -> None:
    records, stderr = after(
        start,
        CONFIGURE
        + """
ctx.logger.info("from ctx")
logging.getLogger("mine").error("from a logger that was there")
logging.getLogger("new").error("from a new one")
""",
        also,
    )
    assert [r.message for r in records] == ["from ctx", "from a logger that was there", "from a new one"]
    assert stderr == "from a new one\n"  # the author's own handler, as in plain Python


def test_ctx_logger_has_its_level_whatever_the_roots_is(start: Start) -> None:
    records, _ = after(start, CONFIGURE.replace("INFO", "ERROR") + 'ctx.logger.info("from ctx")')
    assert [r.message for r in records] == ["from ctx"]


def test_a_logger_that_the_author_disables_is_silent(start: Start) -> None:
    records, _ = after(
        start,
        CONFIGURE
        + """
mine.disabled = True
mine.error("not this")
mine.disabled = False
mine.error("but this")
logging.disable(logging.ERROR)
ctx.logger.error("nor this")
""",
    )
    assert [r.message for r in records] == ["but this"]


@pytest.mark.parametrize(
    "configuring",
    [
        "logging.basicConfig(level=logging.DEBUG, force=True)",
        "logging.getLogger().handlers.clear()",
        "logging.getLogger('lib').propagate = False",
        "logging.getLogger().handlers[:] = [logging.FileHandler('/dev/null')]",
        "logging.shutdown()",
    ],
)
def test_replaced_handlers_lose_no_record_and_double_none(start: Start, configuring: str) -> None:
    records, _ = after(start, configuring + '\nlogging.getLogger("lib").error("here")')
    assert [r.message for r in records] == ["here"]


def test_without_handlers_of_the_authors_nothing_is_printed(start: Start) -> None:
    records, stderr = after(start, 'logging.basicConfig()\nlogging.warning("on the root")')
    assert [r.message for r in records] == ["on the root"]
    assert stderr == ""


def test_a_record_arrives_whatever_is_printed_and_wherever_prints_go(start: Start) -> None:
    worker = start(
        logging(
            """
sys.stderr.write("\\r 20%|##")
logging.getLogger("mine").error("disk is nearly full")
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    print("result 42")
    logging.getLogger("mine").error("caught with it")
print("dots", end="")
ctx.send_output(say(out.getvalue()))
"""
        )
    )
    assert worker.call("x") == "result 42\n"
    assert [record.message for record in worker.records] == ["disk is nearly full", "caught with it"]
    worker.stop()
    worker.wait()
    assert worker.stderr == "\n 20%|##"  # universal newlines
    assert worker.stdout == "dots"


def test_a_record_that_is_too_long_is_shortened_and_says_by_how_much(start: Start) -> None:
    worker = start(
        logging(
            """
logging.getLogger("mine").error("rows: %s", "x" * 1_000_000)
try:
    raise ValueError("y" * 1_000_000)
except ValueError:
    ctx.logger.exception("failed")
"""
        )
    )
    worker.texts(worker.run("x"))
    rows, failed = worker.records
    kept, _, told = rows.message.partition("… (")
    assert told == f"{1_000_006 - len(kept)} more bytes)"
    assert failed.message == "failed"
    assert failed.error.endswith("more bytes)")
    assert failed.stack.endswith("more bytes)")
    for record in worker.records:
        assert 250 * 1024 < record.ByteSize() <= 256 * 1024


def test_a_record_that_cannot_be_written_is_told_and_harms_no_other(start: Start) -> None:
    records, stderr = after(start, 'logging.info("%d", "not a number")\nlogging.info("good")')
    assert [r.message for r in records] == ["good"]
    assert "not a number" in stderr


def test_a_destructor_and_a_signals_handler_may_log(start: Start) -> None:
    worker = start(
        logging(
            """
import gc, signal
class Loud:
    def __del__(self): logging.getLogger("mine").info("gone")
def alarm(*_):
    logging.getLogger("mine").info("alarm")
    if i < 1999:
        signal.setitimer(signal.ITIMER_REAL, 0.0001)  # not before: a slow machine would be in alarms alone
i = 0
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.0001)
for i in range(2000):
    loud = Loud(); loud.me = loud
    logging.getLogger("mine").info("line %d", i)
signal.setitimer(signal.ITIMER_REAL, 0)
del loud
gc.collect()
"""
        )
    )
    worker.texts(worker.run("x"))
    messages = [record.message for record in worker.records]
    assert [m for m in messages if m.startswith("line")] == [f"line {i}" for i in range(2000)]
    assert messages.count("gone") == 2000
