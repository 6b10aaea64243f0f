"""Gives the price in the currency that this version was configured with."""

import json
import os

import kre
from public_input_pb2 import Response
from stone_pb2 import Dollars


@kre.init
def load(ctx: kre.Context) -> None:
    with open(ctx.path("assets/rates.json"), encoding="utf-8") as file:
        rates = json.load(file)["dollar_buys"]
    currency = os.environ["CURRENCY"]
    if currency not in rates:
        raise ValueError(f"CURRENCY is {currency!r}; assets/rates.json has {', '.join(sorted(rates))}")
    ctx.set("currency", currency)
    ctx.set("rate", rates[currency])


@kre.handler
def convert(ctx: kre.Context, price: Dollars) -> Response:
    return Response(price=round(price.amount * ctx.get("rate")), currency=ctx.get("currency"))
