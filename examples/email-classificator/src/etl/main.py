"""Takes an e-mail in, tells the caller so at once, and passes the e-mail on."""

import kre
from mail_pb2 import Email
from public_input_pb2 import Request, Response


@kre.handler
async def take_in(ctx: kre.Context, request: Request) -> Email:
    email = Email(subject=" ".join(request.subject.split()), text=" ".join(request.text.split()))
    if not email.subject and not email.text:
        raise kre.FinalError("the e-mail is empty: give a subject or a text")
    # Answers the caller now; what this node returns goes on to email-classificator.
    await ctx.send_early_reply(Response(message=f"received: {email.subject or email.text[:40]}"))
    return email
