"""The Python node that the conformance suite drives, typed form. ../README.md says what it does."""

import kre
from google.protobuf.wrappers_pb2 import BoolValue, StringValue


@kre.handler
def typed(ctx, message: StringValue) -> StringValue | None:
    return StringValue(value=f"typed: {message.value}") if message.value else None


@kre.handler("etl")
def by_etl(ctx, message: BoolValue) -> StringValue:
    return StringValue(value=f"by etl: {str(message.value).lower()}")
