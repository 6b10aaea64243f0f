import kre
from public_input_pb2 import Text


@kre.handler
def last(ctx, text: Text) -> Text:
    return Text(text=f"{ctx.sender} said {text.text}")
