"""What becomes of what a handler sends."""

from __future__ import annotations

import pytest
from google.protobuf import any_pb2

from kre.errors import FinalError
from kre.kinds import Kind
from kre.outputs import Kept


def test_what_is_too_large_fails_the_attempt_even_if_the_error_is_swallowed() -> None:
    outputs = Kept(limit=10)
    with pytest.raises(FinalError, match="a message of 22 bytes cannot be sent: the broker takes at most 10 bytes"):
        outputs.add(Kind.OK, "", any_pb2.Any(value=b"x" * 20))
    assert outputs.refused is not None
    assert outputs.sent == []


def test_what_is_sent_after_the_end_is_refused() -> None:
    outputs = Kept(limit=10)
    outputs.close()
    with pytest.raises(RuntimeError, match="the handler has returned"):
        outputs.add(Kind.OK, "", any_pb2.Any())
