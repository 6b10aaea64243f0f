"""The socket, in this process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from harness import PATIENCE, frame
from kre.channel import _CHUNK, Channel, Inbox
from kre.errors import StartError
from kre.worker_pb2 import FromWorker, Hello, LogRecord, Run, Stop, ToWorker


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(PATIENCE)
        yield ours, theirs


def run(number: int, size: int = 0) -> bytes:
    return frame(ToWorker(run=Run(run=number, body=b"x" * size)))


def take(inbox: Inbox, count: int) -> list[Run]:
    while len(inbox.runs) < count:
        inbox.wait()
    taken = list(inbox.runs)
    inbox.runs.clear()
    return taken


def test_frames_are_read_however_they_are_torn(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    inbox = Inbox(Channel(ours))
    data = run(1) + run(2, 10) + frame(ToWorker()) + run(3)
    for cut in range(len(data)):
        theirs.sendall(data[:cut])
        inbox.look()
        theirs.sendall(data[cut:])
        assert [r.run for r in take(inbox, 3)] == [1, 2, 3]


@pytest.mark.parametrize("size", [_CHUNK - 20, _CHUNK - 4, _CHUNK, _CHUNK + 1, 3 * _CHUNK])
def test_a_frame_of_any_size_is_read_whole(sockets: tuple[socket.socket, socket.socket], size: int) -> None:
    ours, theirs = sockets
    inbox = Inbox(Channel(ours))
    data = run(1) + run(2, size) + run(3) + run(4, size) + run(5)
    writing = threading.Thread(target=theirs.sendall, args=[data])
    writing.start()
    taken = take(inbox, 5)
    writing.join()
    assert [(r.run, len(r.body)) for r in taken] == [(1, 0), (2, size), (3, 0), (4, size), (5, 0)]


def test_what_this_worker_does_not_know_is_passed_over(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    inbox = Inbox(Channel(ours))
    theirs.sendall(b"\0\0\0\0" + b"\0\0\0\3\x9a\x06\0" + run(1) + frame(ToWorker(stop=Stop())))
    assert [r.run for r in take(inbox, 1)] == [1]
    assert inbox.stopping


def test_what_is_no_frame_is_told(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    theirs.sendall(b"\0\0\0\2\xff\xff")
    with pytest.raises(StartError, match="the runner sent what is no frame of the worker protocol"):
        Inbox(Channel(ours)).hello()


def test_hello_comes_first_and_in_a_version_that_is_known(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    theirs.sendall(frame(ToWorker(hello=Hello(protocol=2))))
    with pytest.raises(StartError, match="the runner speaks version 2 of the worker protocol, not 1"):
        Inbox(Channel(ours)).hello()
    theirs.sendall(run(1))
    with pytest.raises(StartError, match="did not begin with Hello"):
        Inbox(Channel(ours)).hello()


@pytest.mark.parametrize(("value", "told"), [("", "is not set"), ("x", "'x' is not a socket"), ("77", "is not a sock")])
def test_a_descriptor_that_is_none_is_told(value: str, told: str) -> None:
    with pytest.raises(StartError, match=f"KRE_WORKER_FD.* {told}"):
        Channel.inherited({"KRE_WORKER_FD": value})


def test_the_descriptor_is_closed_in_programs_that_are_started_and_its_variable_is_gone(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    fd = os.dup(sockets[0].fileno())
    os.set_inheritable(fd, True)
    environment = {"KRE_WORKER_FD": str(fd), "OTHER": "stays"}
    channel = Channel.inherited(environment)
    assert environment == {"OTHER": "stays"}
    assert not os.get_inheritable(fd)
    channel.socket.close()


class Tearing:
    """A socket that writes a few bytes at a time, and lets a signal's handler run in between."""

    def __init__(self, between: list[object]) -> None:
        self.written = b""
        self.between = between
        """What is called, or raised, before each write."""

    def send(self, data: bytes) -> int:
        if self.between:
            what = self.between.pop(0)
            if isinstance(what, BaseException):
                raise what
            if callable(what):
                what()
        self.written += bytes(data[:5])
        return len(data[:5])


def record(message: str) -> bytes:
    return Channel.encoded(FromWorker(log=LogRecord(message=message)))


def test_what_a_signals_handler_sends_comes_behind_the_frame_that_it_interrupts(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    channel = Channel(sockets[0])
    tearing = Tearing([None, lambda: channel.send(record("of the handler"))])
    channel.socket = tearing  # type: ignore[assignment]
    channel.send(record("interrupted"))
    assert tearing.written == record("interrupted") + record("of the handler")


def test_a_frame_that_an_exception_cuts_off_is_finished_before_the_next(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    channel = Channel(sockets[0])
    tearing = Tearing([None, None, KeyboardInterrupt()])
    channel.socket = tearing  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        channel.send(record("interrupted"))
    channel.send(record("the next"))
    assert tearing.written == record("interrupted") + record("the next")


def test_frames_of_many_threads_stay_whole(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    channel = Channel(ours)
    sent = [record(f"{i} " + "x" * (i * 1000)) for i in range(40)]
    threads = [threading.Thread(target=channel.send, args=[data]) for data in sent]
    for thread in threads:
        thread.start()
    stream = theirs.makefile("rb")
    received = []
    for _ in sent:
        size = stream.read(4)
        received.append(size + stream.read(int.from_bytes(size, "big")))
    for thread in threads:
        thread.join()
    assert sorted(received) == sorted(sent)
