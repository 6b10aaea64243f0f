"""Adds up what clients report. Written in the plain form, which gets every message as a google.protobuf.Any."""

import hashlib
import os
from collections import Counter

import kre
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import Struct


def init(ctx: kre.Context) -> None:
    # A declared file comes as the path at which it lies.
    with open(os.environ["HTTPS_CERT"], "rb") as file:
        ctx.set("certificate", hashlib.sha256(file.read()).hexdigest())
    ctx.set("requests", Counter())


async def default_handler(ctx: kre.Context, data: Any) -> None:
    report = Struct()
    if not data.Unpack(report):
        raise kre.FinalError(f"expected a JSON object, got {data.type_url}")
    fields = dict(report.items())
    client, requests = fields.get("client"), fields.get("requests")
    if not isinstance(client, str) or not isinstance(requests, float):
        raise kre.FinalError('expected {"client": "name", "requests": number}')

    total = ctx.get("requests")
    total[client] += int(requests)
    ctx.logger.info("%s: %d requests so far", client, total[client])

    answer = Struct()
    answer.update({"client": client, "requests": total[client], "certificate": ctx.get("certificate")})
    await ctx.send_output(answer)
