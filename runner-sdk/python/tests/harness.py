"""A broker, the assets of a version, node processes and the entrypoint's part, for tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import nats
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue
from nats.aio.client import Client
from nats.aio.msg import Msg

from kre import wire
from kre.store import _headers_of

SRC = Path(__file__).parent.parent / "src"
Found = TypeVar("Found")
SECOND = 1_000_000_000
PATIENCE = 60.0
"""Seconds to wait for what has to come: far more than it takes, so that a busy machine fails no test."""


async def eventually(find: Callable[[], Found | None], what: str, seconds: float = PATIENCE) -> Found:
    """Wait until find gives something true."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        await asyncio.sleep(0.01)
    return found


async def until(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until what has to be asked for is so."""
    deadline = time.monotonic() + PATIENCE
    while not await check():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain for {what}"
        await asyncio.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on, below those that connections are given: they come and go all the time."""
    while True:
        port = random.randint(20000, 29999)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """A nats-server process."""

    def __init__(self, folder: Path, batch_slots: int = 1000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        self.url = f"nats://token@127.0.0.1:{self.port}"
        (folder / "nats.conf").write_text(
            f"""
            listen: 127.0.0.1:{self.port}
            authorization {{ token: token }}
            max_payload: 8MB
            max_pending: 64MB
            jetstream {{
              store_dir: "{folder}/js"
              limits {{ batch {{ max_inflight_per_stream: {batch_slots} }} }}
            }}
            """
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = os.environ.get("KRE_TEST_NATS_SERVER") or shutil.which("nats-server")
        if not binary:
            raise AssertionError(
                "these tests need nats-server: set KRE_TEST_NATS_SERVER to its path, or run "
                "`go install github.com/nats-io/nats-server/v2@v2.15.2` and put it on the PATH"
            )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([binary, "-c", str(self._folder / "nats.conf")], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError((self._folder / "log").read_text()) from None
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Node:
    """A node of a test's version."""

    name: str
    code: str = ""
    subscriptions: list[str] = field(default_factory=lambda: ["entrypoint"])


@dataclass
class Reply:
    """What an entrypoint was sent."""

    kind: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return text(self.body)

    @property
    def error(self) -> Any:
        from google.rpc import status_pb2

        status = status_pb2.Status()
        assert any_pb2.Any.FromString(self.body).Unpack(status)
        return status


def pack(message: Message) -> bytes:
    body = any_pb2.Any()
    body.Pack(message)
    return body.SerializeToString()


def text(body: bytes) -> str:
    value = StringValue()
    assert any_pb2.Any.FromString(body).Unpack(value), body
    return value.value


class Process:
    """A node's process."""

    def __init__(self, version: Version, node: Node, number: int) -> None:
        folder = version.folder / f"{node.name}-{number}"
        folder.mkdir(parents=True)
        config = folder / "config.json"
        config.write_text(json.dumps(version.config(node)))
        self.ready_file = folder / "ready"
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kre"],
                stdout=output,
                stderr=output,
                cwd=version.root,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("KRE_")},
                    "PYTHONPATH": str(SRC),
                    "KRE_CONFIG": str(config),
                    "KRE_NATS_URL": version.server.url,
                    "KRE_PACKAGE": str(version.root),
                    "KRE_READY_FILE": str(self.ready_file),
                    **version.env,
                },
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log records, decoded."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{") and line.endswith("}")]

    def printed(self, line: str) -> int:
        return self.output.splitlines().count(line)

    async def ready(self) -> Process:
        def look() -> bool:
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.output}"
            return self.ready_file.exists()

        await eventually(look, f"the node to be ready: {self.output}")
        return self

    async def end(self) -> int:
        """Wait for its end; its exit code."""
        await eventually(lambda: self.process.poll() is not None, "the node to end")
        return int(self.process.returncode)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Version:
    """A version of one workflow: its assets, its processes, and an entrypoint played by the test."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        nodes: list[Node],
        *,
        exitpoint: str = "",
        max_attempts: int = 1,
        env: Mapping[str, str] | None = None,
        max_msgs: int = 100_000,
    ) -> None:
        self.server = server
        self.folder = folder
        self.root = folder / "package"
        self.id = f"v{secrets.token_hex(4)}"
        self.nodes = {node.name: node for node in nodes}
        self.exitpoint = exitpoint or nodes[-1].name
        self.max_attempts = max_attempts
        self.env = dict(env or {})
        self.max_msgs = max_msgs
        self.processes: list[Process] = []
        self.replies: dict[str, list[Reply]] = {}
        self.confirming = True
        """Whether the entrypoint confirms what it is sent."""
        self.nc: Client
        self._inbox = f"kre.{self.id}._reply.one"
        self._requests = 0
        for node in nodes:
            source = self.root / "src" / node.name / "main.py"
            source.parent.mkdir(parents=True)
            source.write_text(textwrap.dedent(node.code))

    # The plan

    def _from(self, node: str) -> str:
        return f"kre.{self.id}.w.from.{node}"

    def _channel(self, node: str, channel: str) -> str:
        return self._from(node) + (f".ch.{channel}" if channel else ".out")

    def _early(self, node: str, channel: str) -> str:
        return self._from(node) + (f".early.ch.{channel}" if channel else ".early")

    def stream(self, node: str = "") -> str:
        return f"node_{self.id}_w_{node}" if node else f"entry_{self.id}_w"

    def _heard(self, node: str, only: str = "") -> list[str]:
        found = []
        for other in self.nodes.values():
            for subscription in other.subscriptions:
                name, _, channel = subscription.partition(".")
                if name == node and (not only or other.name == only):
                    found.append(channel)
        return found

    def consumers(self, node: Node) -> dict[str, list[str]]:
        """Filters of the node's consumers, by stream."""
        filters: dict[str, list[str]] = {self.stream(): []}
        for subscription in node.subscriptions:
            name, _, channel = subscription.partition(".")
            if name == "entrypoint":
                filters[self.stream()].append(f"kre.{self.id}.w.entry")
                continue
            of = filters.setdefault(self.stream(name), [self._from(name) + ".error"])
            of.append(self._channel(name, channel))
            if node.name == self.exitpoint:
                of.append(self._early(name, channel))
        filters[self.stream()].append(f"kre.{self.id}.w.to.{node.name}")
        return filters

    def config(self, node: Node) -> dict[str, Any]:
        heard = self._heard(node.name)
        config: dict[str, Any] = {
            "version": self.id,
            "workflow": "w",
            "node": node.name,
            "id": node.name,
            "src": f"src/{node.name}/main.py",
            "exitpoint": node.name == self.exitpoint,
            "onPath": True,
            "maxAttempts": self.max_attempts,
            "timeoutMs": 30000,
            "sources": [{"stream": stream, "consumer": node.name} for stream in self.consumers(node)],
            "deadLetters": {"stream": f"dead_{self.id}", "subject": f"kre.{self.id}._dead.w.{node.name}"},
            "starts": f"starts_{self.id}",
        }
        if heard:
            config["output"] = {
                "stream": self.stream(node.name),
                "error": self._from(node.name) + ".error",
                "channels": {c: self._channel(node.name, c) for c in heard},
                "early": {c: self._early(node.name, c) for c in self._heard(node.name, self.exitpoint)},
            }
        return config

    # The broker's assets

    async def api(self, verb: str, question: object) -> Any:
        answer = await self.nc.request(f"$JS.API.{verb}", json.dumps(question).encode(), timeout=PATIENCE)
        return json.loads(answer.data)

    async def _create(self, name: str, subjects: list[str], **more: object) -> None:
        config = {
            "name": name,
            "subjects": subjects,
            "storage": "file",
            "num_replicas": 1,
            "duplicate_window": 60 * SECOND,
            **more,
        }
        answer = await self.api(f"STREAM.CREATE.{name}", config)
        assert "error" not in answer, answer

    async def _prepare(self) -> None:
        pushing = {"retention": "interest", "discard": "new", "max_msgs": self.max_msgs, "allow_atomic": True}
        await self._create(self.stream(), [f"kre.{self.id}.w.entry", f"kre.{self.id}.w.to.*"], **pushing)
        await self._create(f"dead_{self.id}", [f"kre.{self.id}._dead.>"], retention="limits", max_msgs=1000)
        bucket = f"starts_{self.id}"
        await self._create(
            f"KV_{bucket}",
            [f"$KV.{bucket}.>"],
            max_msgs_per_subject=1,
            allow_rollup_hdrs=True,
            deny_delete=True,
            allow_direct=True,
            discard="new",
        )
        for node in self.nodes.values():
            if self._heard(node.name):
                await self._create(self.stream(node.name), [self._from(node.name) + ".>"], **pushing)
        for node in self.nodes.values():
            for stream, filters in self.consumers(node).items():
                consumer = {
                    "durable_name": node.name,
                    "ack_policy": "explicit",
                    "ack_wait": 2 * SECOND,
                    "max_ack_pending": 4096,
                    "max_deliver": -1,
                    "filter_subjects": filters,
                }
                answer = await self.api(
                    f"CONSUMER.CREATE.{stream}.{node.name}", {"stream_name": stream, "config": consumer}
                )
                assert "error" not in answer, answer

    async def _consumer(self, node: str, upstream: str) -> Any:
        return await self.api(f"CONSUMER.INFO.{self.stream(upstream)}.{node}", {})

    async def pending(self, node: str, upstream: str = "") -> int:
        """Messages of a consumer that are not acknowledged, as far as the broker has counted them."""
        answer = await self._consumer(node, upstream)
        return int(answer["num_pending"]) + int(answer["num_ack_pending"])

    async def _undelivered(self, node: str, upstream: str, delivered: int) -> bool:
        """Whether the stream holds a message for the node past the last one delivered.

        The broker counts a message as pending for its consumers some time after it has confirmed it, so that the
        counts of a consumer alone do not tell that nothing waits.
        """
        for subject in self.consumers(self.nodes[node])[self.stream(upstream)]:
            last = await self.api(f"STREAM.MSG.GET.{self.stream(upstream)}", {"last_by_subj": subject})
            if "message" in last and last["message"]["seq"] > delivered:
                return True
        return False

    async def holding(self, node: str, count: int, upstream: str = "") -> None:
        """Wait until so many messages of a consumer are not acknowledged."""

        async def so_many() -> bool:
            return await self.pending(node, upstream) == count

        await until(so_many, f"{node} to have {count} messages")

    async def take_and_give_back(self, node: str) -> None:
        """Do as a process that took a message and had to let go of it."""
        inbox = self.nc.new_inbox()
        taking = await self.nc.subscribe(inbox)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream()}.{node}"
        await self.nc.publish(subject, b'{"batch":1,"expires":30000000000}', reply=inbox)
        message = await taking.next_msg(timeout=PATIENCE)
        assert message.data, message.headers
        await self.nc.publish(message.reply, b"-NAK")
        await taking.unsubscribe()

    async def idle(self, node: str, upstream: str = "") -> None:
        """Wait until a node has acknowledged everything that is stored for it."""

        async def done() -> bool:
            info = await self._consumer(node, upstream)
            if int(info["num_pending"]) + int(info["num_ack_pending"]):
                return False
            return not await self._undelivered(node, upstream, int(info["delivered"]["stream_seq"]))

        await until(done, f"{node} to acknowledge everything")

    async def stored(self, stream: str) -> list[Reply]:
        """Every message of a stream that is still there."""
        info = await self.api(f"STREAM.INFO.{stream}", {})
        found = []
        for sequence in range(info["state"]["first_seq"], info["state"]["last_seq"] + 1):
            answer = await self.api(f"STREAM.MSG.GET.{stream}", {"seq": sequence or 1})
            headers = _headers_of(answer)
            if headers is not None:
                body = base64.b64decode(answer["message"].get("data", ""))
                headers["subject"] = answer["message"]["subject"]
                found.append(Reply(headers.get(wire.KIND, "ok"), body, headers))
        return found

    async def dead(self) -> list[Reply]:
        return await self.stored(f"dead_{self.id}")

    # Processes

    async def start(self, name: str, ready: bool = True) -> Process:
        process = Process(self, self.nodes[name], len(self.processes))
        self.processes.append(process)
        return await process.ready() if ready else process

    # The entrypoint

    async def _on_reply(self, msg: Msg) -> None:
        headers = msg.headers or {}
        kind = headers[wire.KIND]
        self.replies.setdefault(headers[wire.REQUEST_ID], []).append(Reply(kind, msg.data, headers))
        if msg.reply and self.confirming:
            await msg.respond(b"")

    async def send(
        self, message: Message | bytes | str, *, headers: Mapping[str, str] | None = None, subject: str = ""
    ) -> str:
        """Store an entry message; the id of its request."""
        self._requests += 1
        request = f"01TEST{self._requests:020d}"
        if isinstance(message, str):
            message = StringValue(value=message)
        body = message if isinstance(message, bytes) else pack(message)
        all_headers = {
            wire.MESSAGE_ID: request,
            wire.REQUEST_ID: request,
            wire.SENDER: wire.ENTRYPOINT,
            wire.REPLY_TO: self._inbox,
            wire.TIMEOUT: "30000",
            wire.NATS_MSG_ID: request,
            **(headers or {}),
        }
        answer = await self.nc.request(subject or f"kre.{self.id}.w.entry", body, headers=all_headers, timeout=PATIENCE)
        assert b"error" not in answer.data, answer.data
        return request

    async def answer(self, request: str, *kinds: str) -> Reply:
        """Wait for the first reply of one of these kinds (by default: of those that end the caller's wait)."""
        wanted = kinds or ("ok", "error", "early-reply", "early-exit")

        def look() -> Reply | None:
            return next((r for r in self.replies.get(request, []) if r.kind in wanted), None)

        return await eventually(look, f"an answer; the nodes wrote: {[p.output for p in self.processes]}")

    async def call(self, message: Message | str) -> Reply:
        return await self.answer(await self.send(message))


async def _expected(error: Exception) -> None:
    """Take note of nothing: tests that end the broker expect the errors of their own connection."""


@contextlib.asynccontextmanager
async def running(version: Version, *, start: bool = True) -> AsyncIterator[Version]:
    """Prepare a version, start its nodes, and end everything afterwards."""
    version.nc = await nats.connect(
        version.server.url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_expected
    )
    try:
        await version._prepare()
        await version.nc.subscribe(version._inbox, cb=version._on_reply)
        if start:
            await asyncio.gather(*(version.start(name) for name in version.nodes))
        yield version
    finally:
        for process in version.processes:
            if process.process.poll() is None:
                process.kill()
        await version.nc.close()
