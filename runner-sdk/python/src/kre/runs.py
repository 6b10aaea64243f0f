"""Attempts at messages: what a handler is given, and what the runner is told of its end."""

from __future__ import annotations

import inspect
import time
from typing import Any

from google.protobuf.message import Message

from kre.channel import Channel
from kre.context import SENT, Attempt, Context, Process
from kre.ending import end_child
from kre.errors import FinalError, code_of, place_of, text_of, user_traceback
from kre.handlers import Handler, Handlers
from kre.kinds import Kind, kind_of
from kre.log import LABELS
from kre.outputs import RETURNED, Outputs
from kre.texts import shortened
from kre.worker_pb2 import End, FromWorker, Run


class RunOutputs(Outputs):
    """What a run sends. Any thread may send until its end has been told; what is early goes out at once."""

    __slots__ = ("_channel", "_run", "frames")

    def __init__(self, limit: int, channel: Channel, run: int) -> None:
        self.limit = limit
        self.refused = None
        self.open = True
        self.frames: list[bytes] = []
        """What is to be sent when the handler has returned, or sends something early."""
        self._channel = channel
        self._run = run

    def _take(self, kind: Kind, channel: str, body: bytes) -> None:
        if self._channel.forked:
            raise RuntimeError("this process was forked from the node's: what it sends would reach nobody")
        frame = Channel.output(self._run, kind, channel, body)
        with self._channel.lock:  # a run's end is the last that is said of it
            if not self.open:
                raise RuntimeError(RETURNED)
            self.frames.append(frame)
            if kind.early:  # behind what was sent before it: the order in which a handler sends is kept
                self._channel.send(b"".join(self.frames))
                self.frames.clear()


class Runs:
    """Makes attempts of the runs that come."""

    def __init__(self, channel: Channel, handlers: Handlers, process: Process, limit: int) -> None:
        self.channel = channel
        self.handlers = handlers
        self.process = process
        self.limit = limit

    def passes_by(self, run: Run) -> bool:
        """Whether a run came too late, or is not for the handlers of this module; the runner has then been told."""
        if run.expires_unix_us and time.time() * 1e6 >= run.expires_unix_us:
            self.refuse([run])
            return True
        if not self.handlers.typed or (kind := kind_of(run.kind)) is Kind.OK:
            return False
        outcome = End.OUTCOME_FORWARDED if kind is Kind.ERROR else End.OUTCOME_IGNORED
        self.channel.send_ends([run], outcome)
        return True

    def begin(self, run: Run) -> Try:
        """Prepare an attempt."""
        return Try(self, run)

    def refuse(self, runs: list[Run]) -> None:
        """Tell the runner of runs that will not be begun."""
        self.channel.send_ends(runs, End.OUTCOME_NOT_BEGUN)


class Try:
    """An attempt at a message, from before the call of its handler until the runner has been told of its end."""

    __slots__ = ("_attempt", "_began", "_body", "_context", "_outputs", "_run", "_runs")

    def __init__(self, runs: Runs, run: Run) -> None:
        self._runs = runs
        self._run = number = run.run
        self._body = run.body
        self._outputs = outputs = RunOutputs(runs.limit, runs.channel, number)
        self._attempt = attempt = Attempt(
            run.request_id, run.message_id, run.attempt, run.sender, kind_of(run.kind), outputs, run.deadline_unix_us
        )
        self._context = Context(runs.process, attempt)
        self._began = time.perf_counter()

    def choose(self) -> Handler:
        """Return the handler; a FinalError if there is none."""
        return self._runs.handlers.choose(self._attempt.sender)

    def call(self, handler: Handler) -> Any:
        """Call the handler, in a context that may be changed; the result may have to be awaited."""
        LABELS.set(self._attempt)
        self._began = time.perf_counter()
        return handler.function(self._context, handler.argument(self._body, self._attempt.sender))

    def end(self, result: Any, error: BaseException | None) -> None:
        """Tell the runner what came of the call, or of what was to be awaited."""
        runs, outputs = self._runs, self._outputs
        if runs.channel.forked:
            end_child(error)
        if error is None:
            try:
                if runs.handlers.typed and result is not None and result is not SENT:
                    self._context.send_output(result)
            except BaseException as refused:
                error = refused
        handler_us = int((time.perf_counter() - self._began) * 1e6)
        with runs.channel.lock:
            outputs.close()
            error = error or outputs.refused
            if error is None:
                runs.channel.send_done(self._run, handler_us, outputs.frames)
        if error is not None:
            runs.channel.send(self._failure(error, handler_us))

    def _failure(self, error: BaseException, handler_us: int) -> bytes:
        final = isinstance(error, FinalError)
        where = place_of(error.__traceback__, self._runs.process.root)
        stack = "" if final and not where else user_traceback(error)
        text, where, stack = shortened([text_of(error), where, stack])
        return Channel.encoded(
            FromWorker(
                end=End(
                    run=self._run,
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
