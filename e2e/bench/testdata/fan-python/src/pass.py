import kre
from public_input_pb2 import Text


@kre.handler
def pass_on(ctx, text: Text) -> Text:
    return text
