import kre
from public_input_pb2 import Text


@kre.handler
def listen(ctx, text: Text) -> None:
    pass
