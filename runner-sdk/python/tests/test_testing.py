"""kre.testing: handlers called without a platform."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import any_pb2
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import kre
from modules import module

TYPED = """
import os
import kre
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

@kre.init
async def load(ctx):
    ctx.set("inits", ctx.get("inits", 0) + 1)
    ctx.set("currency", os.environ.get("CURRENCY", "none"))

@kre.handler
def price(ctx, request: StringValue) -> StringValue:
    ctx.set("calls", ctx.get("calls", 0) + 1)
    return StringValue(value=f"{request.value} {ctx.get('currency')} {ctx.get('calls')} {ctx.get('inits')}")

@kre.handler("etl")
async def price_from_etl(ctx, request: StringValue) -> Int64Value:
    ctx.send_output(StringValue(value=request.value), "side")
    ctx.send_output(StringValue(value=request.value), "side")
    ctx.send_early_reply(StringValue(value="early"))
    if request.value == "fail":
        raise KeyError("nmae")
    if request.value == "exit":
        await ctx.send_early_exit(StringValue(value="exit"), "ch")
    return Int64Value(value=ctx.attempt)
"""
UNTYPED = """
def default_handler(ctx, data):
    if ctx.is_message_error():
        return ctx.send_any(data, "errors")
    ctx.logger.info("handled %s", ctx.get_request_id())
    ctx.send_any(data)
"""


@pytest.fixture
def main(tmp_path: Path) -> ModuleType:
    (tmp_path / "krt.yml").touch()
    return module(tmp_path / "src" / "model", TYPED)


@pytest.fixture
def untyped(tmp_path: Path) -> ModuleType:
    return module(tmp_path, UNTYPED)


def say(text: str) -> StringValue:
    return StringValue(value=text)


def test_returns_what_was_sent(main: ModuleType) -> None:
    assert kre.testing.call(main, say("x")).one(StringValue).value == "x none 1 1"


def test_the_sender_chooses_the_handler(main: ModuleType) -> None:
    result = kre.testing.call(main, say("x"), sender="etl", attempt=3)
    assert result.one(Int64Value).value == 3
    assert result.channels == ["side", "side", ""]
    assert [message.value for message in result.all(StringValue, channel="side")] == ["x", "x"]
    assert result.early_reply(StringValue).value == "early"


def test_init_runs_once_for_a_module_and_its_memory_stays(main: ModuleType) -> None:
    kre.testing.call(main, say("x"))
    assert kre.testing.call(main, say("x")).one(StringValue).value == "x none 2 1"
    assert kre.testing.call(main, say("x"), fresh=True).one(StringValue).value == "x none 1 1"


def test_variables_are_set_for_init_and_handler_and_taken_back(main: ModuleType) -> None:
    result = kre.testing.call(main, say("x"), env={"CURRENCY": "EUR"})
    assert result.one(StringValue).value == "x EUR 1 1"
    assert "CURRENCY" not in os.environ
    assert kre.testing.call(main, say("x")).one(StringValue).value == "x none 1 1"


def test_an_error_is_kept_and_told_by_whoever_expects_an_output(main: ModuleType) -> None:
    result = kre.testing.call(main, say("fail"), sender="etl")
    assert isinstance(result.error, KeyError)
    assert result.early_reply(StringValue).value == "early"
    with pytest.raises(AssertionError, match="the handler failed: KeyError: 'nmae'") as told:
        result.one(Int64Value)
    assert told.value.__cause__ is result.error
    with pytest.raises(AssertionError, match="the handler failed"):
        result.all(StringValue, "side")


def test_an_early_exit_is_found_by_its_channel(main: ModuleType) -> None:
    assert kre.testing.call(main, say("exit"), sender="etl").early_exit(StringValue, "ch").value == "exit"


def test_one_tells_what_was_sent_instead(main: ModuleType) -> None:
    result = kre.testing.call(main, say("x"), sender="etl")
    with pytest.raises(
        AssertionError,
        match="expected one output on channel side, found 2; the handler sent: ok on channel side, ok on channel side, "
        "early-reply on the default channel, ok on the default channel",
    ):
        result.one(StringValue, channel="side")
    with pytest.raises(AssertionError, match=r"sent google\.protobuf\.Int64Value, not google\.protobuf\.StringValue"):
        result.one(StringValue)


def test_a_message_of_the_wrong_type_is_an_error_of_the_call(main: ModuleType) -> None:
    result = kre.testing.call(main, Int64Value(value=1))
    assert isinstance(result.error, kre.FinalError)
    assert "expects google.protobuf.StringValue and received google.protobuf.Int64Value" in str(result.error)


def test_typed_handlers_do_not_get_errors(main: ModuleType) -> None:
    assert kre.testing.call(main, kre.Status(code=13), kind="error").nothing


def test_untyped_handlers_get_the_any_and_errors(untyped: ModuleType) -> None:
    assert kre.testing.call(untyped, say("x")).one(StringValue).value == "x"
    wrapped = any_pb2.Any()
    wrapped.Pack(say("x"))
    assert kre.testing.call(untyped, wrapped).one(StringValue).value == "x"
    told = kre.testing.call(untyped, kre.Status(code=13, message="no"), kind="error").one(kre.Status, "errors")
    assert told.message == "no"


def test_a_deadline_can_be_given(tmp_path: Path) -> None:
    asking = module(tmp_path, "import kre\nasync def default_handler(ctx, data): ctx.set('deadline', ctx.deadline)")
    contexts: list[kre.Context] = []
    asking.init = contexts.append  # type: ignore[attr-defined]
    deadline = datetime(2026, 12, 1, 11, tzinfo=timezone(timedelta(hours=1)))
    kre.testing.call(asking, say("x"), deadline=deadline)
    assert contexts[0].get("deadline") == deadline
    assert contexts[0].get("deadline").utcoffset() == timedelta(0)
    kre.testing.call(asking, say("x"))
    assert contexts[0].get("deadline") is None


def test_paths_start_at_the_project(main: ModuleType, tmp_path: Path) -> None:
    main.price.__globals__["say_path"] = None
    (tmp_path / "src" / "model" / "paths.py").write_text(
        "from google.protobuf.wrappers_pb2 import StringValue\n"
        "def default_handler(ctx, data): ctx.send_output(StringValue(value=ctx.path('models/m')))"
    )
    paths = module(tmp_path / "src" / "model", (tmp_path / "src" / "model" / "paths.py").read_text(), "paths")
    assert kre.testing.call(paths, say("x")).one(StringValue).value == str(tmp_path.resolve() / "models" / "m")


def test_what_init_raises_comes_through(tmp_path: Path) -> None:
    broken = module(tmp_path, "def default_handler(ctx, data): ...\ndef init(ctx): open('nowhere')")
    with pytest.raises(FileNotFoundError):
        kre.testing.call(broken, say("x"))


def test_a_module_that_cannot_work_is_told(tmp_path: Path) -> None:
    with pytest.raises(kre.UsageError, match="has no handler"):
        kre.testing.call(module(tmp_path, ""), say("x"))


async def test_works_within_a_test_that_is_a_coroutine_itself(main: ModuleType) -> None:
    assert kre.testing.call(main, say("x"), sender="etl").one(Int64Value).value == 1


def test_logs_are_ordinary_logs(untyped: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        kre.testing.call(untyped, say("x"), request_id="01REQUEST")
    assert "handled 01REQUEST" in caplog.text


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("ctx.prediction.save('a', 'b')", "prediction.save"),
        ("ctx.db.save('c', {})", "db.save"),
        ("ctx.db.find('c', {})", "db.find"),
        ("ctx.object_store.save('k', b'')", "object_store.save"),
        ("ctx.object_store.get('k')", "object_store.get"),
        ("ctx.object_store.list()", "object_store.list"),
        ("ctx.object_store.delete('k')", "object_store.delete"),
        ("ctx.object_store.purge()", "object_store.purge"),
        ("ctx.configuration.set('k', 'v', 'workflow')", "configuration.set"),
        ("ctx.configuration.get('k')", "configuration.get"),
        ("ctx.configuration.delete('k', scope='project')", "configuration.delete"),
    ],
)
def test_services_that_come_later_say_so_by_name(tmp_path: Path, call: str, name: str) -> None:
    later = module(tmp_path, f"async def default_handler(ctx, data):\n    await {call}")
    error = kre.testing.call(later, say("x")).error
    assert isinstance(error, kre.NotAvailableError)
    assert str(error) == f"ctx.{name} is not available yet in this version of KRE"
