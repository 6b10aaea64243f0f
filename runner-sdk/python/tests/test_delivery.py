"""A message's way through nodes, over a real broker."""

from __future__ import annotations

from pathlib import Path

from harness import Node, Server, Version, running

GREET = """
    import kre
    from google.protobuf.wrappers_pb2 import StringValue

    @kre.handler
    def greet(ctx, request: StringValue) -> StringValue:
        return StringValue(value=f"Hello {request.value}")
"""


async def test_a_typed_exitpoint_answers_the_caller(server: Server, tmp_path: Path) -> None:
    async with running(Version(server, tmp_path, [Node("greet", GREET)])) as version:
        reply = await version.call("Ada")
        assert (reply.kind, reply.text) == ("ok", "Hello Ada")
        assert reply.headers["Kre-Sender"] == "greet"
        await version.idle("greet")
