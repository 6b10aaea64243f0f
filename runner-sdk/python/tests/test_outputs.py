"""What becomes of what a handler sends."""

from __future__ import annotations

import pytest
from google.protobuf import any_pb2

from kre.config import Output
from kre.errors import FinalError
from kre.outputs import Outputs, Sent, choose
from kre.store import MAX_BATCH, MAX_BATCH_BYTES, Outgoing, batches
from kre.wire import Kind

OUT = Output("s", "error", {"": "out", "x": "ch.x"}, {"": "early"})
MAIN = Sent(Kind.OK, "", b"main")
X = Sent(Kind.OK, "x", b"x")
LOST = Sent(Kind.OK, "lost", b"lost")
REPLY = Sent(Kind.EARLY_REPLY, "", b"reply")
EXIT = Sent(Kind.EARLY_EXIT, "", b"exit")


@pytest.mark.parametrize(
    ("rule", "sent", "output", "exitpoint", "stored", "answers", "unheard"),
    [
        ("in order", [X, MAIN, X], OUT, False, ["ch.x", "out", "ch.x"], 0, []),
        ("a channel nobody listens to is dropped", [LOST, X], OUT, False, ["ch.x"], 0, ["lost"]),
        ("an early reply among the others", [MAIN, REPLY], OUT, False, ["out", "early"], 0, []),
        ("an early reply nobody subscribes to", [REPLY], Output("s", "e", {"": "out"}), False, [], 0, []),
        ("an early exit alone", [MAIN, REPLY, EXIT, X], OUT, False, ["early"], 0, []),
        ("an exitpoint answers", [MAIN], None, True, [], 1, []),
        ("an exitpoint answers and stores", [MAIN, X], OUT, True, ["out", "ch.x"], 1, []),
        ("an exitpoint's other channels answer nobody", [X], None, True, [], 0, ["x"]),
        ("an exitpoint's early exit answers alone", [MAIN, EXIT], None, True, [], 0, []),
        ("nobody subscribes at all", [MAIN], None, False, [], 0, [""]),
    ],
)
def test_stores(
    rule: str,
    sent: list[Sent],
    output: Output | None,
    exitpoint: bool,
    stored: list[str],
    answers: int,
    unheard: list[str],
) -> None:
    chosen = choose(sent, output, exitpoint)
    assert [subject for subject, _ in chosen.stored] == stored
    assert len(chosen.answers) == answers
    assert chosen.unheard == unheard


def test_what_is_too_large_fails_the_attempt_even_if_the_error_is_swallowed() -> None:
    outputs = Outputs(limit=10)
    with pytest.raises(FinalError, match="a message of 22 bytes cannot be sent: the broker takes at most 10 bytes"):
        outputs.add(Kind.OK, "", any_pb2.Any(value=b"x" * 20))
    assert outputs.refused is not None
    assert outputs.sent == []


def test_what_is_sent_after_the_end_is_refused() -> None:
    outputs = Outputs(limit=10)
    outputs.close()
    with pytest.raises(RuntimeError, match="the handler has returned"):
        outputs.add(Kind.OK, "", any_pb2.Any())


def test_batches_follow_each_other_past_their_limits() -> None:
    small = Outgoing("s", b"", {})
    assert [len(b) for b in batches([small] * (2 * MAX_BATCH + 1))] == [MAX_BATCH, MAX_BATCH, 1]
    large = Outgoing("s", b"x" * (MAX_BATCH_BYTES // 2), {})
    assert [len(b) for b in batches([large, small, large, large])] == [2, 1, 1]
    assert batches([]) == []
