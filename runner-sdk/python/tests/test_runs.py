"""What becomes of a run, in a worker without an event loop and in one with it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from harness import ECHO, IMPORTS, Start, pack, text
from kre.kinds import Kind
from kre.worker_pb2 import End

FORMS = pytest.mark.parametrize("form", ["def", "async def"])
FAIL = (
    IMPORTS
    + """
    @kre.handler
    {form} fail(ctx, request: StringValue) -> StringValue:
        ctx.send_output(say("dropped"))
        return {}[request.value]
"""
)


def form_of(code: str, form: str) -> str:
    return code.replace("{form}", form)


@FORMS
def test_what_a_typed_handler_returns_is_sent_to_the_default_channel(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form))
    run = worker.run("Ada")
    assert worker.texts(run) == ["Ada"]
    (output,) = worker.outputs(run)
    assert (output.kind, output.channel) == (Kind.OK.number, "")
    assert worker.end(run).handler_us >= 0


@FORMS
def test_runs_end_in_the_order_in_which_they_came(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form))
    worker.send(*(worker.made(str(i)) for i in range(500)))
    worker.end(500)
    ends = [f.end.run for f in worker.frames if f.HasField("end")]
    assert ends == list(range(1, 501))
    assert [text(f.output.body) for f in worker.frames if f.HasField("output")] == [str(i) for i in range(500)]


@FORMS
def test_outputs_are_sent_in_order_and_before_the_end(start: Start, form: str) -> None:
    many = form_of(
        IMPORTS
        + """
    {form} default_handler(ctx, data):
        for i in range(1203):
            ctx.send_output(say(str(i)), "x" if i % 2 else "")
        return ctx.send_any(data)
    """,
        form,
    )
    worker = start(many)
    run = worker.run("last")
    assert worker.texts(run) == [*(str(i) for i in range(1203)), "last"]
    assert [output.channel for output in worker.outputs(run)][:3] == ["", "x", ""]
    assert worker.frames[-1].HasField("end")


@FORMS
def test_a_run_that_sends_nothing_is_done(start: Start, form: str) -> None:
    worker = start(form_of(IMPORTS + "\n    {form} default_handler(ctx, data): pass", form))
    assert worker.texts(worker.run("x")) == []


@FORMS
def test_a_failure_says_what_where_and_how(start: Start, form: str) -> None:
    end = start(form_of(FAIL, form)).fail("nmae")
    assert end.outcome == End.OUTCOME_FAILED
    assert end.error == "KeyError: 'nmae'"
    assert end.code == 0
    assert end.where == "src/node/main.py:16"
    assert end.stack.splitlines()[-1] == "KeyError: 'nmae'"
    assert "in fail" in end.stack
    assert "/kre/" not in end.stack


@FORMS
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise StopIteration", "StopIteration"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("ctx.send_output('text')", "TypeError: only protobuf messages can be sent, not str"),
        ("ctx.send_any(data, b'x')", "TypeError: a channel is named by a string, not by b'x'"),
        ("ctx.send_any(data, '\\ud83d')", "ValueError: a channel is named by valid text, not by '\\ud83d'"),
    ],
)
def test_whatever_a_handler_raises_is_a_failed_attempt(start: Start, form: str, statement: str, error: str) -> None:
    raising = (
        IMPORTS
        + f"""
    {form} default_handler(ctx, data):
        if heard(data) == "fail":
            {statement}
        ctx.send_any(data)
    """
    )
    worker = start(raising)
    if (form, statement) == ("async def", "raise StopIteration"):
        error = "RuntimeError: coroutine raised StopIteration"  # as Python has it
    end = worker.fail("fail")
    assert (end.outcome, end.error) == (End.OUTCOME_FAILED, error)
    assert worker.call("x") == "x"


def test_what_a_typed_handler_returns_has_to_be_a_message(start: Start) -> None:
    worker = start(IMPORTS + "\n    @kre.handler\n    def h(ctx, request: StringValue): return 'text'")
    assert worker.fail("x").error == "TypeError: only protobuf messages can be sent, not str"


@FORMS
@pytest.mark.parametrize(
    ("statement", "error", "code"),
    [
        ("raise kre.FinalError('no such customer')", "no such customer", 0),
        ("raise kre.InvalidArgument('carat is negative')", "carat is negative", 3),
        ("raise type('Gone', (kre.NotFound,), {})('it is gone')", "Gone: it is gone", 5),
        ("ctx.db.save('c', {})", "NotAvailableError: ctx.db.save is not available yet in this version of KRE", 0),
    ],
)
def test_a_final_error_is_final_and_has_its_code(
    start: Start, form: str, statement: str, error: str, code: int
) -> None:
    end = start(f"{IMPORTS}\n    {form} default_handler(ctx, data):\n        {statement}").fail("x")
    assert (end.outcome, end.error, end.code) == (End.OUTCOME_FINAL, error, code)
    assert end.where == "src/node/main.py:14"


@FORMS
def test_a_message_of_the_wrong_type_is_final_and_names_sender_and_types(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form))
    end = worker.fail(Int64Value(value=1))
    assert end.outcome == End.OUTCOME_FINAL
    assert end.error == (
        "the handler for entrypoint expects google.protobuf.StringValue and received google.protobuf.Int64Value"
    )
    assert (end.where, end.stack) == ("", "")
    end = worker.fail(b"\xff\xff", sender="etl")
    assert (end.outcome, end.error) == (End.OUTCOME_FINAL, "what etl sent is not a google.protobuf.Any")


@FORMS
def test_without_a_handler_for_the_sender_a_run_is_final(start: Start, form: str) -> None:
    worker = start(form_of(IMPORTS + '\n    @kre.handler("etl")\n    {form} h(ctx, r: StringValue): return r', form))
    end = worker.fail("x")
    assert end.outcome == End.OUTCOME_FINAL
    assert end.error == "no handler for what entrypoint sent: there is no default handler, only for etl"
    assert worker.call("x", sender="etl") == "x"


@FORMS
def test_the_sender_chooses_the_handler(start: Start, form: str) -> None:
    chooser = form_of(
        IMPORTS
        + """
    def from_etl(ctx, data):
        ctx.send_output(say("from etl"))

    {form} default_handler(ctx, data):
        ctx.send_output(say(f"from {ctx.sender}"))

    custom_handlers = {"etl": from_etl}
    """,
        form,
    )
    worker = start(chooser)
    assert worker.call("x", sender="etl") == "from etl"
    assert worker.call("x", sender="other") == "from other"


@FORMS
@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (Kind.ERROR, End.OUTCOME_FORWARDED),
        (Kind.EARLY_REPLY, End.OUTCOME_IGNORED),
        (Kind.EARLY_EXIT, End.OUTCOME_IGNORED),
    ],
)
def test_errors_and_early_messages_pass_by_typed_handlers(
    start: Start, form: str, kind: Kind, outcome: End.Outcome
) -> None:
    worker = start(form_of(FAIL, form))
    assert worker.fail(b"\xff", kind=kind.number).outcome == outcome


@FORMS
def test_untyped_handlers_get_errors_and_early_messages(start: Start, form: str) -> None:
    telling = form_of(
        IMPORTS
        + """
    {form} default_handler(ctx, data):
        is_ = [ctx.is_message_ok(), ctx.is_message_error(), ctx.is_message_early_reply(), ctx.is_message_early_exit()]
        ctx.send_output(say(f"{is_.index(True)} {sum(is_)}"))
    """,
        form,
    )
    worker = start(telling)
    for i, kind in enumerate(Kind):
        assert worker.call("x", kind=kind.number) == f"{i} 1"
    assert worker.call("x", kind=77) == "0 1"  # an unknown kind counts as ordinary


@FORMS
@pytest.mark.parametrize(("verb", "kind"), [("reply", Kind.EARLY_REPLY), ("exit", Kind.EARLY_EXIT)])
def test_what_is_early_is_sent_before_the_verb_returns(start: Start, form: str, verb: str, kind: Kind) -> None:
    early = (
        IMPORTS
        + f"""
    import pathlib, time

    {form} default_handler(ctx, data):
        ctx.send_output(say("before"), "a")
        ctx.send_early_{verb}(say("early"), "b")
        while not pathlib.Path(ctx.path("go")).exists():
            time.sleep(0.001)
        ctx.send_output(say("late"), "c")
        if heard(data) == "fail":
            raise ValueError("late")
    """
    )
    worker = start(early)
    run = worker.run("x")
    worker.eventually(lambda: len(worker.outputs(run)) == 2, "what is early, and what was sent before it")
    _, output = worker.outputs(run)
    assert (output.kind, output.channel, text(output.body)) == (kind.number, "b", "early")
    (worker.root / "go").touch()
    assert worker.texts(run) == ["before", "early", "late"]  # what is dropped, the runner knows
    assert worker.end(worker.run("fail")).outcome == End.OUTCOME_FAILED  # what was sent then is dropped by the runner


@FORMS
def test_what_is_too_large_is_final_even_if_the_handler_swallows_the_error(start: Start, form: str) -> None:
    large = form_of(
        IMPORTS
        + """
    {form} default_handler(ctx, data):
        ctx.send_output(say("small"))
        try:
            ctx.send_output(say("x" * 1000))
        except kre.FinalError:
            pass
    """,
        form,
    )
    end = start(large, max_output_bytes=1000).fail("x")
    assert end.outcome == End.OUTCOME_FINAL
    assert end.error == "a message of 1055 bytes cannot be sent: the broker takes at most 1000 bytes"


@FORMS
def test_what_is_sent_after_the_end_is_refused(start: Start, form: str) -> None:
    late = form_of(
        IMPORTS
        + """
    kept = []

    {form} default_handler(ctx, data):
        kept.append(ctx)
        if len(kept) == 2:
            for send in (kept[0].send_any, kept[0].send_early_reply):
                try:
                    send(data)
                except RuntimeError as error:
                    ctx.send_output(say(str(error)))
    """,
        form,
    )
    worker = start(late)
    assert worker.texts(worker.run("x")) == []
    told = "the handler has returned; what is sent now would reach nobody"
    assert worker.texts(worker.run("x")) == [told, told]
    assert worker.outputs(1) == []


@FORMS
def test_a_thread_that_sends_until_it_is_refused_sends_nothing_behind_the_end(start: Start, form: str) -> None:
    racing = form_of(
        IMPORTS
        + """
    import threading

    {form} default_handler(ctx, data):
        begun = threading.Event()
        def send():
            try:
                while True:
                    ctx.send_early_reply(data)
                    begun.set()
            except RuntimeError:
                pass
        threading.Thread(target=send).start()
        begun.wait()
    """,
        form,
    )
    worker = start(racing)
    for _ in range(20):
        worker.end(worker.run("x"))
    ended: set[int] = set()
    for sent in worker.frames:
        if sent.HasField("end"):
            ended.add(sent.end.run)
        assert not (sent.HasField("output") and sent.output.run in ended)


@FORMS
def test_a_handler_learns_ids_attempt_sender_and_deadline(start: Start, form: str) -> None:
    telling = form_of(
        IMPORTS
        + """
    {form} default_handler(ctx, data):
        words = ctx.request_id, ctx.get_message_id(), ctx.attempt, ctx.sender, ctx.deadline and ctx.deadline.isoformat()
        ctx.send_output(say(repr(words)))
    """,
        form,
    )
    worker = start(telling)
    deadline = datetime(2026, 12, 1, 10, 0, 0, 250, timezone.utc)
    us = (deadline - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    told = worker.call("x", sender="etl", attempt=3, deadline_unix_us=us)
    assert told == repr(("request-1", "message-1", 3, "etl", "2026-12-01T10:00:00.000250+00:00"))
    assert worker.call("x") == repr(("request-2", "message-2", 1, "entrypoint", None))


@FORMS
def test_nothing_leaks_from_one_message_to_another(start: Start, form: str) -> None:
    leaking = form_of(
        IMPORTS
        + """
    import contextvars
    mine = contextvars.ContextVar("mine", default="unset")
    mine.set("of the import")

    @kre.handler
    {form} mix(ctx, request: StringValue) -> StringValue:
        assert mine.get() == "of the import"
        mine.set(request.value)
        if request.value.endswith("7"):
            raise ValueError(f"no {request.value}")
        return say(f"{mine.get()} {ctx.request_id}")
    """,
        form,
    )
    worker = start(leaking)
    worker.send(*(worker.made(str(i)) for i in range(1, 101)))
    for i in range(1, 101):
        if str(i).endswith("7"):
            assert worker.end(i).error == f"ValueError: no {i}"
        else:
            assert worker.texts(i) == [f"{i} request-{i}"]


@FORMS
def test_init_prepares_the_process_and_its_memory_stays(start: Start, form: str) -> None:
    remembering = form_of(
        IMPORTS
        + """
    {form} init(ctx):
        ctx.set("greeting", open(ctx.path("src/node/main.py")).readline().strip() + "Hi")

    {form} default_handler(ctx, data):
        ctx.set("calls", ctx.get("calls", 0) + 1)
        ctx.send_output(say(f"{ctx.get('greeting')} {ctx.get('calls')} {ctx.version} {ctx.workflow} {ctx.node}"))
    """,
        form,
    )
    worker = start(remembering)
    assert worker.call("x") == "Hi 1 v1 w node"
    assert worker.call("x") == "Hi 2 v1 w node"


@FORMS
def test_an_error_that_is_no_text_is_told_all_the_same(start: Start, form: str) -> None:
    broken = form_of(
        IMPORTS
        + """
    import json

    {form} default_handler(ctx, data):
        word = json.loads('"half of an emoji: \\\\ud83d"')
        ctx.logger.error("bad %s", word)
        raise ValueError(f"unknown word {word}")
    """,
        form,
    )
    worker = start(broken)
    end = worker.fail("x")
    assert end.error == "ValueError: unknown word half of an emoji: \ufffd"
    assert end.stack.endswith(end.error)
    worker.record("bad half of an emoji: \ufffd")


@FORMS
def test_a_failure_of_any_size_fits_into_a_frame(start: Start, form: str) -> None:
    long = form_of(IMPORTS + "\n    {form} default_handler(ctx, data): raise ValueError('x' * 5_000_000)", form)
    end = start(long).fail("x")
    assert end.error.startswith("ValueError: xxx")
    assert end.error.endswith(" more bytes)")
    assert end.ByteSize() <= 256 * 1024


@FORMS
def test_bodies_of_any_size_pass(start: Start, form: str) -> None:
    worker = start(form_of(ECHO, form), max_output_bytes=1 << 23)
    large = "x" * 5_000_000
    runs = [worker.run(message) for message in (large, "small", large)]
    assert [worker.texts(run) for run in runs] == [[large], ["small"], [large]]


def test_a_plain_function_may_return_a_coroutine(start: Start) -> None:
    returning = (
        IMPORTS
        + """
    import asyncio, functools

    def plain(function):
        return lambda ctx, data: function(ctx, data)

    @plain
    async def default_handler(ctx, data):
        await asyncio.sleep(0)
        if heard(data) == "exit":
            raise SystemExit(3)
        ctx.send_any(data)

    def init(ctx):
        async def later():
            ctx.set("init", True)
        return later()
    """
    )
    for also in ("", "\n    async def from_etl(ctx, data): ...\n    custom_handlers = {'etl': from_etl}"):
        worker = start(returning + also)
        assert worker.call("x") == "x"
        assert worker.fail("exit").error == "SystemExit: 3"
        assert worker.call("y") == "y"


def test_several_asynchronous_runs_may_be_in_their_handlers_at_a_time(start: Start) -> None:
    waiting = (
        IMPORTS
        + """
    import asyncio
    everybody = asyncio.Event()
    here = []

    @kre.handler
    async def wait(ctx, request: StringValue) -> StringValue:
        here.append(request.value)
        if len(here) == 3:
            everybody.set()
        await everybody.wait()
        return request
    """
    )
    worker = start(waiting, concurrency=3)
    runs = [worker.run(text) for text in "abcd"]
    assert [worker.texts(run) for run in runs] == [["a"], ["b"], ["c"], ["d"]]


def test_outputs_and_end_of_a_run_are_one_write(start: Start) -> None:
    """The worker's own writes, counted."""
    counting = (
        IMPORTS
        + """
    from kre.channel import Channel
    writes = 0
    original = Channel._write

    def count(self, data):
        global writes
        writes += 1
        original(self, data)

    Channel._write = count

    def default_handler(ctx, data):
        ctx.send_output(say(str(writes)))
        ctx.send_output(say("another"), "x")
    """
    )
    worker = start(counting)
    before = int(worker.texts(worker.run("x"))[0])
    assert [int(worker.texts(worker.run("x"))[0]) - before for _ in range(3)] == [1, 2, 3]


def test_an_any_is_passed_on_as_it_is(start: Start) -> None:
    worker = start(IMPORTS + "\n    def default_handler(ctx, data): ctx.send_any(data)")
    body = pack(StringValue(value="é"))
    run = worker.run(body)
    worker.end(run)
    assert worker.outputs(run)[0].body == body
