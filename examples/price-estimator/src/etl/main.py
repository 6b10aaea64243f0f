"""Checks what the caller sent and fills in what it left out with what is most common."""

import json

import diamonds
import kre
from public_input_pb2 import Request
from stone_pb2 import Stone

# Heavier stones exist; the data set, which ends here, says nothing about them.
HEAVIEST = 5.01


@kre.init
def load(ctx: kre.Context) -> None:
    with open(ctx.path("models/typical.json"), encoding="utf-8") as file:
        ctx.set("typical", json.load(file))


@kre.handler
def complete(ctx: kre.Context, request: Request) -> Stone:
    if not 0 < request.carat <= HEAVIEST:
        raise kre.FinalError(f"carat must be above 0 and at most {HEAVIEST}, got {request.carat:g}")
    for field, grades in diamonds.GRADES.items():
        # JSON names its grades; over gRPC any number comes through.
        if not 0 <= getattr(request, field) <= len(grades):
            raise kre.FinalError(f"{field} must be one of {len(grades)} grades, got {getattr(request, field)}")
    typical = ctx.get("typical")
    return Stone(
        carat=request.carat,
        cut=request.cut or typical["cut"],
        color=request.color or typical["color"],
        clarity=request.clarity or typical["clarity"],
        depth=request.depth if request.HasField("depth") else typical["depth"],
        table=request.table if request.HasField("table") else typical["table"],
    )
