"""The Python node that the conformance suite drives, untyped form. ../README.md says what it does."""

import ctypes
import os
import pathlib
import time

from google.protobuf import struct_pb2, wrappers_pb2
from kre import FinalError, InvalidArgument, Status


def init(ctx):
    if path := os.environ.get("CONFORMANCE_INIT"):
        pathlib.Path(path).touch()
    ctx.set("greeting", "hello")


def default_handler(ctx, data):
    if ctx.is_message_error():
        status = Status()
        assert data.Unpack(status)
        if status.message == "etl: refuse this":
            raise RuntimeError("cannot handle errors")
        if status.message == "etl: ignore this":
            return
        if status.message == "etl: reply early":
            ctx.send_early_reply(text("sorry"))
            return
        ctx.send_output(text(f"error: {status.message}"))
    elif ctx.is_message_ok():
        steps = struct_pb2.Struct()
        assert data.Unpack(steps)
        for fields in steps["steps"]:
            step(ctx, dict(fields))
    else:
        message = wrappers_pb2.StringValue()
        assert data.Unpack(message)
        kind = "early exit" if ctx.is_message_early_exit() else "early reply"
        ctx.send_output(text(f"{kind}: {message.value}"))


def by_etl(ctx, data):
    ctx.send_output(text("by etl"))


custom_handlers = {"etl": by_etl}


def step(ctx, fields):
    channel = fields.pop("channel", "")
    until = fields.pop("until", 0)
    ((name, value),) = fields.items()
    match name:
        case "send":
            ctx.send_output(text(value), channel)
        case "send_many":
            for i in range(int(value)):
                ctx.send_output(text(str(i)))
        case "send_bytes":
            ctx.send_output(wrappers_pb2.BytesValue(value=bytes(int(value))))
        case "early_reply":
            ctx.send_early_reply(text(value), channel)
        case "early_exit":
            ctx.send_early_exit(text(value), channel)
        case "tell":
            ok = "true" if ctx.is_message_ok() else "false"
            told = (
                ctx.get("greeting"),
                ctx.get_request_id(),
                ctx.get_message_id(),
                ctx.get_attempt(),
                ctx.path("models/m"),
                ok,
            )
            ctx.send_output(text(" ".join(str(part) for part in told)))
        case "fail":
            if not until or ctx.get_attempt() < until:
                raise RuntimeError(value)
        case "final":
            raise FinalError(value)
        case "refuse":
            raise InvalidArgument(value)
        case "fail_half":
            raise RuntimeError(value + "\ud83d")
        case "log":
            for level in ("debug", "info", "warning", "error"):
                getattr(ctx.logger, level)(value)
        case "panic":
            raise KeyError(value)
        case "leave":
            raise SystemExit(3)
        case "end":
            os._exit(1)
        case "touch":
            pathlib.Path(value).touch()
        case "hold":
            ctypes.PyDLL(None).sleep(int(value))  # a C function that is called with the interpreter lock
        case "wait_for":
            while not pathlib.Path(value).exists():
                time.sleep(0.01)


def text(value):
    return wrappers_pb2.StringValue(value=value)
