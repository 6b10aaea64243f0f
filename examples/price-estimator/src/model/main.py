"""Asks the trained model for the price of a stone, in dollars."""

import diamonds
import joblib
import kre
from stone_pb2 import Dollars, Stone


@kre.init
def load(ctx: kre.Context) -> None:
    ctx.set("model", joblib.load(ctx.path("models/price.joblib")))


@kre.handler
def estimate(ctx: kre.Context, stone: Stone) -> Dollars:
    row = [getattr(stone, column) for column in diamonds.COLUMNS]
    return Dollars(amount=ctx.get("model").predict([row])[0])
