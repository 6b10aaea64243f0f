"""A node that sends what it gets twice, once with its own name before it. cmd/send/main.go is the same in Go."""

import os

import kre
from public_input_pb2 import Text

STEP = os.environ["STEP"]


@kre.handler
def send(ctx, text: Text) -> Text:
    ctx.send_output(Text(text=f"{STEP} {text.text}"), "also")
    return text
