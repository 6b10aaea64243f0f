"""A node of the bare chain in Python: python plain.py URL INDEX.

Written the way the client's documentation does: it fetches what there is, and a task for each message publishes it to
the next stream, waits until it is stored, and acknowledges. Nothing of ours is in it.
"""

import asyncio
import sys

import nats

STREAMS = ("entry", "first", "second")
AT_ONCE = 256


async def main(url: str, index: int) -> None:
    connection = await nats.connect(url)
    stream = connection.jetstream()
    consumer = await stream.pull_subscribe_bind("node", stream=STREAMS[index])
    room = asyncio.Semaphore(AT_ONCE)

    async def pass_on(message):
        if index == len(STREAMS) - 1:
            await connection.publish(message.headers["Reply-To"], message.data)
        else:
            await stream.publish(STREAMS[index + 1], message.data, headers=message.headers)
        await message.ack()
        room.release()

    async with asyncio.TaskGroup() as tasks:
        while True:
            try:
                messages = await consumer.fetch(64)
            except TimeoutError:
                continue
            for message in messages:
                await room.acquire()
                tasks.create_task(pass_on(message))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
