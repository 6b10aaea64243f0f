"""What a broker that was restarted in the middle of a batch has left of it is completed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Node, Server, Version, running
from kre import wire
from kre.broker import Broker, ConnectionLost
from kre.store import Outgoing, Store
from test_delivery import PASS

RUN = wire.run_id("message", "w", "a", 0)


def records(version: Version) -> list[Outgoing]:
    subject = f"kre.{version.id}.w.from.a.out"
    return [Outgoing(subject, b"%d" % i, {wire.MESSAGE_ID: wire.output_id(RUN, i)}) for i in range(3)]


@pytest.mark.parametrize("torn", [True, False])
async def test_a_batch_is_completed_once(server: Server, tmp_path: Path, torn: bool) -> None:
    async with running(Version(server, tmp_path, [Node("a", PASS), Node("b", PASS, ["a"])]), start=False) as version:
        broker = Broker(server.url, None, "test")
        await broker.open()
        store = Store(broker)
        batch = records(version)
        await store.put(batch[:1] if torn else batch, RUN)
        for _ in range(2):  # the second time, nothing is missing any more
            await store.complete(batch, RUN)
        info = await version.nc.jetstream().stream_info(version.stream("a"))
        assert info.state.messages == info.state.last_seq == 3
        stored = [await version.nc.jetstream().get_msg(version.stream("a"), seq) for seq in (1, 2, 3)]
        assert [message.data for message in stored] == [b"0", b"1", b"2"]
        await broker.close()


async def test_a_duplicate_after_a_lost_connection_is_looked_after(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("a", PASS), Node("b", PASS, ["a"])]), start=False) as version:
        broker = Broker(server.url, None, "test")
        await broker.open()
        store = Store(broker)
        batch = records(version)
        await store.put(batch[:1], RUN)
        request, tries = broker.request, 0

        async def lost_once(*args: object, **options: object) -> object:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise ConnectionLost
            return await request(*args, **options)  # type: ignore[arg-type]

        broker.request = lost_once  # type: ignore[assignment, method-assign]
        assert (await store.put(batch, RUN)).duplicate
        info = await version.nc.jetstream().stream_info(version.stream("a"))
        assert info.state.messages == 3
        await broker.close()
