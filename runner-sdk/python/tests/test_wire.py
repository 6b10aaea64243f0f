"""Ids, keys and acknowledgement subjects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kre import wire

VECTORS = json.loads((Path(__file__).parents[2] / "spec" / "vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['messageId']}-{v['resend']}")
def test_ids_are_those_of_every_other_sdk(vector: dict[str, Any]) -> None:
    run = wire.run_id(vector["messageId"], vector["workflow"], vector["node"], vector["resend"])
    assert run == vector["runId"]
    assert [wire.output_id(run, i) for i in range(len(vector["outputIds"]))] == vector["outputIds"]


def test_starts_keys_hold_no_character_that_a_bucket_refuses() -> None:
    assert wire.starts_key("model", "a.b*c>d e") == "model.a_b_c_d_e"


def test_reads_what_the_broker_says_of_a_delivery() -> None:
    found = wire.parse_delivery("$JS.ACK.stream.consumer.3.17.42.1700000000000000000.5")
    assert found == wire.Delivery("stream", 17, 3, 1700000000000000000)


def test_reads_a_delivery_of_a_broker_with_domains() -> None:
    found = wire.parse_delivery("$JS.ACK.hub.account.stream.consumer.3.17.42.1700000000000000000.5.token")
    assert found == wire.Delivery("stream", 17, 3, 1700000000000000000)


@pytest.mark.parametrize("subject", ["", "_INBOX.a.b", "$JS.ACK.s.c", "$JS.ACK.s.c.x.17.42.17.5"])
def test_anything_else_is_no_delivery(subject: str) -> None:
    assert wire.parse_delivery(subject) is None
