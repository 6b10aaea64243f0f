"""A node of the bare chain in Python: python pipelined.py URL INDEX.

As plain.py, and as fast as we could make its client go: it pulls before it has run out of messages, and neither a
task nor anybody's turn waits for a message to be stored.
"""

import asyncio
import json
import sys

import nats

STREAMS = ("entry", "first", "second")
AT_ONCE = 256


async def main(url: str, index: int) -> None:
    connection = await nats.connect(url)
    stream = connection.jetstream(publish_async_max_pending=4096)
    inbox = connection.new_inbox()
    asked = 0

    async def ask():
        nonlocal asked
        if asked <= AT_ONCE // 2:
            more, asked = AT_ONCE - asked, AT_ONCE
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAMS[index]}.node"
            await connection.publish(subject, json.dumps({"batch": more}).encode(), reply=inbox)

    async def pass_on(message):
        nonlocal asked
        asked -= 1
        await ask()
        stored = await stream.publish_async(STREAMS[index + 1], message.data, headers=message.headers)
        stored.add_done_callback(lambda _: acknowledgements.put_nowait(message))

    async def answer(message):
        nonlocal asked
        asked -= 1
        await ask()
        await connection.publish(message.headers["Reply-To"], message.data)
        await message.ack()

    acknowledgements = asyncio.Queue()
    await connection.subscribe(inbox, cb=answer if index == len(STREAMS) - 1 else pass_on)
    await ask()
    while True:
        await (await acknowledgements.get()).ack()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
