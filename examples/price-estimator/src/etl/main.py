"""Checks what the caller sent and fills in what it left out with what is most common."""

import json

import kre
from public_input_pb2 import Request
from stone_pb2 import Stone

import diamonds

# Heavier stones exist; the data set, which ends at 5 carats, says nothing about them.
HEAVIEST = 5.01


@kre.init
def load(ctx: kre.Context) -> None:
    with open(ctx.path("models/typical.json"), encoding="utf-8") as file:
        ctx.set("typical", json.load(file))


@kre.handler
def complete(ctx: kre.Context, request: Request) -> Stone:
    if not 0 < request.carat <= HEAVIEST:
        raise kre.FinalError(f"carat must be above 0 and at most {HEAVIEST}, got {request.carat:g}")
    typical = ctx.get("typical")
    stone = Stone(
        carat=request.carat,
        cut=request.cut or typical["cut"],
        color=request.color or typical["color"],
        clarity=request.clarity or typical["clarity"],
        depth=request.depth if request.HasField("depth") else typical["depth"],
        table=request.table if request.HasField("table") else typical["table"],
    )
    for field, grades in diamonds.GRADES.items():
        grade = getattr(stone, field)
        if grade not in grades:
            raise kre.FinalError(f"{field} must be one of {', '.join(grades)}, got {grade!r}")
    return stone
