"""Attempts at messages: what a handler is given, and what the runner is told of its end."""

from __future__ import annotations

import inspect
import time
from typing import Any

from google.protobuf.message import Message

from kre.channel import Channel
from kre.context import SENT, Context, Process
from kre.ending import end_child
from kre.errors import FinalError, code_of, place_of, text_of, user_traceback
from kre.handlers import Handler, Handlers
from kre.kinds import Kind, kind_of
from kre.log import RUNNING
from kre.outputs import RETURNED, Outputs
from kre.texts import shortened
from kre.worker_pb2 import End, FromWorker, Run


class Runs:
    """What all attempts of a process share."""

    def __init__(self, channel: Channel, handlers: Handlers, process: Process, limit: int) -> None:
        self.channel = channel
        self.handlers = handlers
        self.process = process
        self.limit = limit
        """Largest body that may be sent, bytes."""

    def passes_by(self, run: Run) -> bool:
        """Whether a run came too late, or is not for the handlers of this module; the runner has then been told."""
        if (expires := run.expires_unix_us) and time.time() * 1e6 >= expires:
            self.refuse([run])
            return True
        if not self.handlers.typed or (kind := kind_of(run.kind)) is Kind.OK:
            return False
        outcome = End.OUTCOME_FORWARDED if kind is Kind.ERROR else End.OUTCOME_IGNORED
        self.channel.send_ends([run], outcome)
        return True

    def refuse(self, runs: list[Run]) -> None:
        """Tell the runner of runs that will not be begun."""
        self.channel.send_ends(runs, End.OUTCOME_NOT_BEGUN)


class Try(Outputs):
    """An attempt at a message, from before the call of its handler until the runner has been told of its end.

    Any thread may send until then; what is early goes out at once.
    """

    __slots__ = ("_began", "_channel", "_context", "_frames", "_run", "_runs")

    def __init__(self, runs: Runs, run: Run) -> None:
        self.limit = runs.limit
        self.refused = None
        self.open = True
        self._runs = runs
        self._run = run
        self._channel = runs.channel
        self._frames: list[bytes] = []
        """What is to be sent when the handler has returned, or sends something early."""
        self._context: Context | None = Context(runs.process, run, self)
        self._began = time.perf_counter()

    def choose(self) -> Handler:
        """Return the handler; a FinalError if there is none."""
        return self._runs.handlers.choose(self._run.sender)

    def call(self, handler: Handler) -> Any:
        """Call the handler, in a context that may be changed; the result may have to be awaited."""
        run = self._run
        RUNNING.set(run)
        self._began = time.perf_counter()
        return handler.function(self._context, handler.argument(run.body, run.sender))

    def _take(self, kind: Kind, channel: str, body: bytes) -> None:
        if self._channel.forked:
            raise RuntimeError("this process was forked from the node's: what it sends would reach nobody")
        frame = Channel.output(self._run.run, kind, channel, body)
        with self._channel.lock:  # a run's end is the last that is said of it
            if not self.open:
                raise RuntimeError(RETURNED)
            self._frames.append(frame)
            if kind.early:  # behind what was sent before it: the order in which a handler sends is kept
                self._channel.send(b"".join(self._frames))
                self._frames.clear()

    def end(self, result: Any, error: BaseException | None) -> None:
        """Tell the runner what came of the call, or of what was to be awaited."""
        channel = self._channel
        if channel.forked:
            end_child(error)
        context, self._context = self._context, None  # each knows the other: the garbage collector need not find them
        if error is None and result is not None and result is not SENT and self._runs.handlers.typed:
            try:
                context.send_output(result)  # type: ignore[union-attr]
            except BaseException as refused:
                error = refused
        handler_us = int((time.perf_counter() - self._began) * 1e6)
        with channel.lock:
            self.open = False
            error = error or self.refused
            if error is None:
                channel.send_done(self._run.run, handler_us, self._frames)
        if error is not None:
            channel.send(self._failure(error, handler_us))

    def _failure(self, error: BaseException, handler_us: int) -> bytes:
        final = isinstance(error, FinalError)
        where = place_of(error.__traceback__, self._runs.process.root)
        stack = "" if final and not where else user_traceback(error)
        text, where, stack = shortened([text_of(error), where, stack])
        return Channel.encoded(
            FromWorker(
                end=End(
                    run=self._run.run,
                    outcome=End.OUTCOME_FINAL if final else End.OUTCOME_FAILED,
                    error=text,
                    code=code_of(error),
                    where=where,
                    stack=stack,
                    handler_us=handler_us,
                )
            )
        )


def awaitable(result: Any) -> bool:
    """Whether what a call returned has to be awaited."""
    return not (result is None or result is SENT or isinstance(result, Message)) and inspect.isawaitable(result)


async def outcome(result: Any) -> tuple[Any, BaseException | None]:
    """Await something and return its result or its error; SystemExit, raised, would stop the loop as well."""
    try:
        return await result, None
    except BaseException as error:
        return None, error
