"""The connection itself, in this process."""

from __future__ import annotations

import asyncio

import pytest

from harness import Server, eventually
from kre.broker import Broker, NoAnswer, NoResponders, TooLarge


async def test_a_request_is_answered_or_says_why_not(server: Server) -> None:
    broker = Broker(server.url, None, "test")
    await broker.open()
    try:
        with pytest.raises(NoResponders):
            await broker.request("nobody.listens", b"")
        silent = await broker.subscribe("silent", never)
        with pytest.raises(NoAnswer):
            await broker.request("silent", b"", timeout=0.05)
        await silent.unsubscribe()
        answer = await broker.request("$JS.API.INFO", b"")
        assert b"account_info_response" in answer.body
        with pytest.raises(
            TooLarge, match=r"a message of 8388[67].. bytes cannot be sent: the broker takes at most 8388608"
        ):
            await broker.request("x", b"x" * (broker.max_payload - 10), {"Kre-Sender": "etl"})
        assert broker._waiting == {}
    finally:
        await broker.close()


async def never(message: object) -> None:
    pass


async def test_a_connection_that_the_library_gives_up_is_made_anew(server: Server) -> None:
    broker = Broker(server.url, None, "test")
    await broker.open()
    bound = []

    async def bind() -> None:
        bound.append(True)

    broker.on_connected = bind
    try:
        await broker._client.close()
        assert not broker.connected
        await eventually(lambda: bound, "the connection to be made anew")
        assert b"account_info_response" in (await broker.request("$JS.API.INFO", b"")).body
    finally:
        await broker.close()


async def test_what_waits_for_an_answer_learns_that_the_connection_is_lost(own_server: Server) -> None:
    broker = Broker(own_server.url, None, "test")
    await broker.open()
    try:
        await broker.subscribe("silent", never)
        asking = asyncio.create_task(broker.request("silent", b"", timeout=60))
        await eventually(lambda: broker._waiting, "the question to be asked")
        own_server.kill()
        with pytest.raises(NoAnswer):
            await asking
        with pytest.raises(NoAnswer, match="the broker is away"):
            await broker.request("silent", b"")
    finally:
        await broker.close()
