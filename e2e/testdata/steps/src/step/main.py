"""A node that does as the request says and writes down what happens to it. cmd/step/main.go is the same in Go."""

import os
import signal
import time

import kre
from google.protobuf.any_pb2 import Any
from public_input_pb2 import Request, Response
from step_pb2 import Step

STEP = os.environ["STEP"]


def record(*words: object) -> None:
    """Append one line; a single write, so that processes do not mix theirs."""
    file = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, (" ".join(str(word) for word in words) + "\n").encode())
    finally:
        os.close(file)


def init(ctx: kre.Context) -> None:
    """Tell which process this is."""
    record("process", STEP, os.getpid())


async def default_handler(ctx: kre.Context, data: Any) -> None:
    """Do as the request says."""
    if not ctx.is_message_ok():
        record("error" if ctx.is_message_error() else "early", STEP, ctx.get_request_id())
        if ctx.is_message_error() and os.environ.get("EXCUSE"):
            await ctx.send_output(Response(note="excused"))
        return
    step, request = Step(), Request()
    if data.Unpack(request):
        step.request.CopyFrom(request)
    elif not data.Unpack(step):
        raise kre.FinalError(f"cannot read {data.type_url}")
    request = step.request
    step.path.append(STEP)
    record("run", STEP, request.id)

    if request.kill == STEP:
        os.kill(os.getpid(), signal.SIGKILL)
    if request.slow == STEP:
        time.sleep(request.slow_ms / 1000)  # noqa: ASYNC251 # authors do this, and it must harm nobody else
    if request.fail == STEP:
        raise ValueError(f"no {request.id}")
    if request.fail_final == STEP:
        raise kre.FinalError(f"never {request.id}")
    if request.early_reply == STEP:
        await ctx.send_early_reply(Response(id=request.id, path=step.path, note="early reply"))
    if request.early_exit == STEP:
        await ctx.send_early_exit(Response(id=request.id, path=step.path, note="early exit"))
        return
    if request.silent == STEP:
        return
    if os.environ.get("CHANNEL"):
        await ctx.send_output(step, os.environ["CHANNEL"])
    if os.environ.get("ANSWER"):
        await ctx.send_output(Response(id=request.id, path=step.path))
    else:
        await ctx.send_output(step)
