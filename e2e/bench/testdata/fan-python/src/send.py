import kre
from public_input_pb2 import Text


@kre.handler
def send(ctx, text: Text) -> Text:
    ctx.send_output(text, "also")
    return text
