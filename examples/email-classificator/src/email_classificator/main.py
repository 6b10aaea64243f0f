"""Tells what an e-mail is about. Every e-mail goes on; those about repairs also go out on a channel of their own."""

import emails
import joblib
import kre
from mail_pb2 import Classified, Email

# Below this the likeliest category is more likely wrong than right.
SURE = 0.5


@kre.init
def load(ctx: kre.Context) -> None:
    ctx.set("model", joblib.load(ctx.path("models/categories.joblib")))


@kre.handler
async def classify(ctx: kre.Context, email: Email) -> Classified:
    model = ctx.get("model")
    probabilities = model.predict_proba([emails.as_text(email.subject, email.text)])[0]
    best = probabilities.argmax()
    classified = Classified(email=email, category=model.classes_[best], probability=probabilities[best])
    if classified.probability < SURE:
        classified.category = "unknown"
    if classified.category == "repairs":
        await ctx.send_output(classified, "repairs")
    return classified
