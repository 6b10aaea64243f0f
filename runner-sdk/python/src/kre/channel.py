"""The socket to the runner: frames in both directions, as runner-sdk/spec/worker.md tells.

A Channel writes, from any thread; an Inbox reads, from the main thread alone. Neither waits for the other.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Iterable, MutableMapping
from struct import Struct

from google.protobuf.message import DecodeError

from kre.ending import end_now
from kre.errors import StartError
from kre.kinds import Kind
from kre.worker_pb2 import End, FromWorker, Hello, Run, ToWorker

VERSION = 1
"""Version of the worker protocol."""
_SIZE = Struct(">I")
_CHUNK = 256 * 1024
"""Bytes that are read at a time; a frame that is larger gets a buffer of its own."""


class Channel:
    """The socket's writing side.

    A forked child has no runner: there, `forked` is true, the descriptor is closed and what is sent is dropped.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.forked = False
        self.lock = threading.RLock()
        """Held while frames are written. Whoever holds it decides what comes next on the socket."""
        self._writing = False
        self._behind: list[bytes] = []
        self._rest: bytes | memoryview = b""
        self._done = FromWorker(end=End(outcome=End.OUTCOME_DONE))
        self._end = self._done.end
        os.register_at_fork(after_in_child=self._in_child)

    @classmethod
    def inherited(cls, environment: MutableMapping[str, str]) -> Channel:
        """Take the socket that the runner left in KRE_WORKER_FD, and the variable out of the environment."""
        number = environment.pop("KRE_WORKER_FD", "")
        if not number:
            raise StartError("KRE_WORKER_FD is not set: a node is started by kre run or by the platform")
        try:
            sock = socket.socket(fileno=int(number))
            sock.set_inheritable(False)
            sock.setblocking(True)
        except (ValueError, OSError) as error:
            raise StartError(f"KRE_WORKER_FD: {number!r} is not a socket ({error})") from error
        return cls(sock)

    def _in_child(self) -> None:
        self.forked = True
        self.lock = threading.RLock()  # somebody may have held the old one
        self.socket.close()

    # Frames

    @staticmethod
    def encoded(message: FromWorker) -> bytes:
        """Return a message as a frame."""
        data = message.SerializeToString()
        return _SIZE.pack(len(data)) + data

    @staticmethod
    def output(run: int, kind: Kind, channel: str, body: bytes) -> bytes:
        """Return the frame of a message that a run sends."""
        frame = FromWorker()
        output = frame.output
        output.run, output.kind, output.body = run, kind.number, body  # type: ignore[assignment]
        if channel:
            output.channel = channel
        return Channel.encoded(frame)

    def send_done(self, run: int, handler_us: int, before: list[bytes]) -> None:
        """Send the end of a run that went well, behind other frames."""
        with self.lock:
            end = self._end  # one for all: there is one for each run, and it holds nothing but numbers
            end.run, end.handler_us = run, handler_us
            self.send(b"".join((*before, self.encoded(self._done))))

    def send_ends(self, runs: Iterable[Run], outcome: End.Outcome) -> None:
        """Send the ends of runs whose handlers were not called."""
        self.send(b"".join(self.encoded(FromWorker(end=End(run=run.run, outcome=outcome))) for run in runs))

    def send(self, data: bytes) -> None:
        """Send frames, from any thread. Without a runner the process ends."""
        with self.lock:
            if self.forked or not data:
                return
            self._behind.append(data)
            if self._writing:  # by this thread: a signal's handler, or a destructor, speaks in the middle of it
                return
            self._writing = True
            try:
                while self._behind:
                    self._write(self._behind.pop(0))
            except OSError:
                if not self.forked:
                    end_now(0)
            finally:
                self._writing = False

    def _write(self, data: bytes) -> None:
        if self._rest:  # an exception came out of a signal's handler in the middle of a frame
            data = bytes(self._rest) + data
        self._rest = data
        sent = self.socket.send(data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(data):
                self._rest = view[sent:]
                sent += self.socket.send(self._rest)
        self._rest = b""


class Inbox:
    """The socket's reading side: the runs that have come, and whether Stop has. Without a runner the process ends."""

    def __init__(self, channel: Channel) -> None:
        self.runs: deque[Run] = deque()
        self.stopping = False
        self._hello: Hello | None = None
        self._socket = channel.socket
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._chunk = bytearray(_CHUNK)
        self._view = memoryview(self._chunk)
        self._at = self._end = 0
        self._large = bytearray()
        """A frame that does not fit into the chunk, and what of it is still to come."""
        self._large_view = memoryview(b"")

    def fileno(self) -> int:
        """Return the descriptor, for an event loop to watch."""
        return self._socket.fileno()

    def hello(self) -> Hello:
        """Wait for the first frame."""
        while self._hello is None:
            self.wait()
            if self._hello is None and (self.runs or self.stopping):
                raise StartError("the runner did not begin with Hello")
        if self._hello.protocol != VERSION:
            raise StartError(f"the runner speaks version {self._hello.protocol} of the worker protocol, not {VERSION}")
        return self._hello

    def wait(self) -> None:
        """Wait until something has come, and take it."""
        self._fill(0)
        self._take()

    def look(self) -> None:
        """Take what has come, without waiting."""
        while self._poll.poll(0):
            if not self._fill(socket.MSG_DONTWAIT):
                break
        self._take()

    def _fill(self, flags: int) -> bool:
        """Read once; whether there may be more."""
        if self._large:
            room = self._large_view
        else:
            if self._at:
                rest = self._end - self._at
                self._chunk[:rest] = self._chunk[self._at : self._end]
                self._at, self._end = 0, rest
            room = self._view[self._end :]
        try:
            count = self._socket.recv_into(room, 0, flags)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if count == 0:
            end_now(0)
        if self._large:
            self._large_view = room[count:]
        else:
            self._end += count
        if count < len(room):
            return False
        self._take()
        return True

    def _take(self) -> None:
        try:
            while (frame := self._next()) is not None:
                message = ToWorker.FromString(frame)  # type: ignore[arg-type]
                if message.HasField("run"):
                    self.runs.append(message.run)
                elif message.HasField("stop"):
                    self.stopping = True
                elif message.HasField("hello"):
                    self._hello = message.hello
        except DecodeError as error:
            raise StartError("the runner sent what is no frame of the worker protocol") from error

    def _next(self) -> bytearray | None:
        if self._large:
            if self._large_view:
                return None
            frame, self._large = self._large, bytearray()
            self._large_view = memoryview(b"")
            return frame
        have = self._end - self._at
        if have < _SIZE.size:
            return None
        (size,) = _SIZE.unpack_from(self._chunk, self._at)
        begin = self._at + _SIZE.size
        if begin + size <= self._end:
            self._at = begin + size
            return self._chunk[begin : self._at]
        if _SIZE.size + size > _CHUNK:
            self._large = bytearray(size)
            self._large[: self._end - begin] = self._view[begin : self._end]
            self._large_view = memoryview(self._large)[self._end - begin :]
            self._at = self._end = 0
        return None
