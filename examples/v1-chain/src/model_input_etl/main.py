"""Lets in callers who know API_KEY and turns what they measured into the model's input."""

import hmac
import os

import kre
from google.protobuf.struct_pb2 import Struct

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


@kre.handler
def check(ctx: kre.Context, request: Struct) -> Struct:
    fields = dict(request.items())
    if not hmac.compare_digest(str(fields.get("api_key", "")).encode(), os.environ["API_KEY"].encode()):
        raise kre.FinalError("api_key is not the one that this version was configured with")
    for name in FEATURES:
        if not isinstance(fields.get(name), float):
            raise kre.FinalError(f"{name} must be a number of centimetres, got {fields.get(name)!r}")
    row = Struct()
    row["features"] = [fields[name] for name in FEATURES]
    return row
