"""Signs the prediction with API_SECRET, so that the caller can tell where it comes from."""

import hashlib
import hmac
import os

import kre
from google.protobuf.struct_pb2 import Struct


@kre.handler
def sign(ctx: kre.Context, prediction: Struct) -> Struct:
    text = f"{prediction['species']} {prediction['probability']:.3f}"
    answer = Struct()
    answer.update(prediction)
    answer["signature"] = hmac.new(os.environ["API_SECRET"].encode(), text.encode(), hashlib.sha256).hexdigest()
    return answer
