"""Tells the species of an iris. The model is trained when the node starts, on the flowers that scikit-learn carries."""

import kre
from google.protobuf.struct_pb2 import Struct
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


@kre.init
def train(ctx: kre.Context) -> None:
    flowers = load_iris()
    ctx.set("model", LogisticRegression(max_iter=1000).fit(flowers.data, flowers.target))
    ctx.set("species", [str(name) for name in flowers.target_names])


@kre.handler
def predict(ctx: kre.Context, row: Struct) -> Struct:
    probabilities = ctx.get("model").predict_proba([list(row["features"])])[0]
    best = int(probabilities.argmax())
    prediction = Struct()
    prediction["species"] = ctx.get("species")[best]
    prediction["probability"] = round(float(probabilities[best]), 3)
    return prediction
