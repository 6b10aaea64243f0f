"""A runner, played by the test: it starts a worker over a pair of sockets and speaks frames with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Any, Protocol, TypeVar

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from kre.kinds import Kind
from kre.worker_pb2 import End, FromWorker, Hello, Level, LogRecord, Output, Ready, Run, Stop, ToWorker

SRC = Path(__file__).parent.parent / "src"
PATIENCE = 60.0
"""Seconds to wait for what has to come: far more than it takes, so that a busy machine fails no test."""
IMPORTS = """
    import kre
    from google.protobuf.wrappers_pb2 import StringValue

    def say(text):
        return StringValue(value=text)

    def heard(data):
        value = StringValue()
        assert data.Unpack(value)
        return value.value
"""
ECHO = (
    IMPORTS
    + """
    @kre.handler
    {form} echo(ctx, request: StringValue) -> StringValue:
        return request
"""
)
SIZE = Struct(">I")
Found = TypeVar("Found")


def pack(message: Message) -> bytes:
    body = any_pb2.Any()
    body.Pack(message)
    return body.SerializeToString()


def text(body: bytes) -> str:
    value = StringValue()
    assert any_pb2.Any.FromString(body).Unpack(value), body
    return value.value


def frame(message: ToWorker) -> bytes:
    data = message.SerializeToString()
    return SIZE.pack(len(data)) + data


class Start(Protocol):
    """The fixture `start`."""

    def __call__(self, code: str, *, ready: bool = True, **hello: Any) -> Worker: ...


class Worker:
    """A worker's process."""

    def __init__(self, folder: Path, code: str, *, env: dict[str, str] | None = None, **hello: Any) -> None:
        self.root = folder / "package"
        source = self.root / "src" / "node" / "main.py"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(textwrap.dedent(code), encoding="utf-8")
        self._ours, theirs = socket.socketpair()
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kre"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self.root,
                pass_fds=[theirs.fileno()],
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("KRE_")},
                    "PYTHONPATH": str(SRC),
                    "KRE_PACKAGE": str(self.root),
                    "KRE_WORKER_FD": str(theirs.fileno()),
                    **(env or {}),
                },
            )
        theirs.close()
        self._runs = 0
        self.frames: list[FromWorker] = []
        """Everything that the worker has sent, in order."""
        self._more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        asked: dict[str, Any] = {
            "protocol": 1,
            "version": "v1",
            "workflow": "w",
            "node": "node",
            "src": "src/node/main.py",
            "package": str(self.root),
            "concurrency": 1,
            "max_output_bytes": 1 << 20,
            "log_level": Level.LEVEL_INFO,
        }
        self.send(ToWorker(hello=Hello(**{**asked, **hello})))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._ours.close()

    def _read(self) -> None:
        with self._ours.makefile("rb", buffering=1 << 20) as stream:
            while True:
                try:
                    size = stream.read(SIZE.size)
                    data = stream.read(SIZE.unpack(size)[0]) if size else b""
                except (OSError, ValueError):
                    return
                if not size:
                    return
                with self._more:
                    self.frames.append(FromWorker.FromString(data))
                    self._more.notify_all()

    # What the runner says

    def send(self, *messages: ToWorker) -> None:
        self._ours.sendall(b"".join(map(frame, messages)))

    def run(self, message: Message | bytes | str, **more: Any) -> int:
        """Send a run; its number."""
        self.send(self.made(message, **more))
        return self._runs

    def made(self, message: Message | bytes | str, **more: Any) -> ToWorker:
        self._runs += 1
        if isinstance(message, str):
            message = StringValue(value=message)
        asked: dict[str, Any] = {
            "run": self._runs,
            "body": message if isinstance(message, bytes) else pack(message),
            "kind": Kind.OK.number,
            "sender": "entrypoint",
            "request_id": f"request-{self._runs}",
            "message_id": f"message-{self._runs}",
            "attempt": 1,
        }
        return ToWorker(run=Run(**{**asked, **more}))

    def stop(self) -> None:
        self.send(ToWorker(stop=Stop()))

    def gone(self) -> None:
        """Be a runner that has died."""
        self._ours.shutdown(socket.SHUT_RDWR)

    # What the worker says

    def eventually(self, find: Callable[[], Found | None], what: str) -> Found:
        """Wait until find gives something true; it is asked again whenever a frame comes, and often besides."""
        deadline = time.monotonic() + PATIENCE
        with self._more:
            while not (found := find()):
                if time.monotonic() > deadline:
                    told = (self.frames, self.stdout, self.stderr)
                    raise AssertionError(f"waited {PATIENCE} s in vain for {what}: {told}")
                self._more.wait(0.01)
            return found

    def ready(self) -> Ready:
        def look() -> Ready | None:
            code = self.process.poll()
            assert code is None, f"the worker ended with {code}:\n{self.stdout}\n{self.stderr}"
            return next((f.ready for f in self.frames if f.HasField("ready")), None)

        return self.eventually(look, "the worker to be ready")

    def end(self, run: int) -> End:
        """Wait for the end of a run."""
        return self.eventually(
            lambda: next((f.end for f in self.frames if f.HasField("end") and f.end.run == run), None),
            f"the end of run {run}",
        )

    def outputs(self, run: int) -> list[Output]:
        return [f.output for f in list(self.frames) if f.HasField("output") and f.output.run == run]

    def texts(self, run: int) -> list[str]:
        """Wait for the end of a run that went well; what it sent."""
        end = self.end(run)
        assert end.outcome == End.OUTCOME_DONE, end
        return [text(output.body) for output in self.outputs(run)]

    def call(self, message: Message | bytes | str, **more: Any) -> str:
        """Send a run, which goes well; the one text that it sent."""
        (answer,) = self.texts(self.run(message, **more))
        return answer

    def fail(self, message: Message | bytes | str, **more: Any) -> End:
        """Send a run and wait for its end, which is none that it sends something with."""
        return self.fail_of(self.run(message, **more))

    def fail_of(self, run: int) -> End:
        end = self.end(run)
        assert end.outcome != End.OUTCOME_DONE
        assert not [output for output in self.outputs(run) if output.kind == Kind.OK.number]
        return end

    @property
    def records(self) -> list[LogRecord]:
        return [f.log for f in list(self.frames) if f.HasField("log")]

    def record(self, message: str) -> LogRecord:
        """Wait for the record that says something."""
        return self.eventually(
            lambda: next((record for record in self.records if record.message == message), None), f"{message!r}"
        )

    @property
    def stdout(self) -> str:
        return self._stdout.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    def printed(self, line: str) -> bool:
        return line in self.stdout.splitlines()

    def wait(self) -> int:
        """Wait for the worker's end; its exit code."""
        return self.process.wait(PATIENCE)
