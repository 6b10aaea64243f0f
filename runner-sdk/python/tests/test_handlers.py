"""What a module may look like, and what it is told when it looks otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import any_pb2
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from harness import pack
from kre.errors import FinalError, UsageError
from kre.handlers import of_module
from modules import module

IMPORTS = """
from __future__ import annotations
import kre
from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import StringValue
"""


def typed(text: str) -> str:
    return IMPORTS + text


def test_the_typed_form_chooses_by_sender_and_else_the_default(tmp_path: Path) -> None:
    handlers = of_module(
        module(
            tmp_path,
            typed("""
@kre.init
async def load(ctx): ...
@kre.handler
def anybody(ctx, request: StringValue): ...
@kre.handler("etl")
async def from_etl(ctx, request: StringValue) -> StringValue: ...
"""),
        )
    )
    assert handlers.typed
    assert handlers.init is not None
    assert handlers.choose("etl").function.__name__ == "from_etl"
    assert handlers.choose("etl").is_async
    assert handlers.choose("entrypoint").function.__name__ == "anybody"
    assert not handlers.choose("entrypoint").is_async


def test_the_module_form_chooses_by_sender_and_else_the_default(tmp_path: Path) -> None:
    handlers = of_module(
        module(
            tmp_path,
            """
async def init(ctx): ...
async def default_handler(ctx, data): ...
def etl(ctx, data): ...
custom_handlers = {"etl": etl}
""",
        )
    )
    assert not handlers.typed
    assert handlers.choose("etl").function.__name__ == "etl"
    assert handlers.choose("other").function.__name__ == "default_handler"


def test_without_a_default_an_unknown_sender_is_a_final_error(tmp_path: Path) -> None:
    handlers = of_module(module(tmp_path, "custom_handlers = {'etl': lambda ctx, data: None}"))
    with pytest.raises(FinalError, match=r"no handler for what model sent: .* only for etl"):
        handlers.choose("model")


def test_a_typed_handler_gets_its_type(tmp_path: Path) -> None:
    handler = of_module(module(tmp_path, typed("@kre.handler\ndef h(ctx, request: StringValue): ..."))).choose("etl")
    assert handler.argument(pack(StringValue(value="x")), "etl") == StringValue(value="x")


def test_a_mismatch_is_a_final_error_that_names_sender_and_types(tmp_path: Path) -> None:
    handler = of_module(module(tmp_path, typed("@kre.handler\ndef h(ctx, request: StringValue): ..."))).choose("etl")
    with pytest.raises(
        FinalError, match=r"handler for etl expects google.protobuf.StringValue and received google.protobuf.Int64Value"
    ):
        handler.argument(pack(Int64Value(value=1)), "etl")
    with pytest.raises(FinalError, match="received a message without a type"):
        handler.argument(b"", "etl")
    with pytest.raises(FinalError, match=r"etl sent a google.protobuf.StringValue that does not parse"):
        handler.argument(
            any_pb2.Any(type_url="x/google.protobuf.StringValue", value=b"\xff").SerializeToString(), "etl"
        )
    with pytest.raises(FinalError, match=r"what etl sent is not a google.protobuf.Any"):
        handler.argument(b"\xff\xff", "etl")


def test_a_typed_handler_may_ask_for_the_any_itself(tmp_path: Path) -> None:
    handler = of_module(module(tmp_path, typed("@kre.handler\ndef h(ctx, request: Any): ..."))).choose("etl")
    found = handler.argument(pack(Struct()), "etl")
    assert isinstance(found, any_pb2.Any)


def test_an_untyped_handler_gets_the_any(tmp_path: Path) -> None:
    handler = of_module(module(tmp_path, "def default_handler(ctx, data): ...")).choose("etl")
    found = handler.argument(pack(StringValue(value="x")), "etl")
    assert isinstance(found, any_pb2.Any)
    assert found.type_url.endswith("google.protobuf.StringValue")


def test_a_function_from_elsewhere_can_be_registered(tmp_path: Path) -> None:
    handlers = of_module(
        module(
            tmp_path,
            typed("""
from functools import partial
def general(extra, ctx, request: StringValue): ...
kre.handler("etl")(partial(general, 1))
"""),
        )
    )
    assert handlers.choose("etl").request is StringValue


def test_code_that_is_loaded_again_registers_anew(tmp_path: Path) -> None:
    import importlib
    import sys

    source = typed("@kre.handler\ndef h(ctx, request: StringValue): ...")
    (tmp_path / "reloaded_node.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    try:
        node = importlib.import_module("reloaded_node")
        assert of_module(importlib.reload(node)).default is not None
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("reloaded_node", None)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("x = 1", "main has no handler; decorate a function with @kre.handler, or define default_handler"),
        (typed("@kre.init\ndef load(ctx): ..."), "main has no handler; decorate a function"),
        (
            typed("@kre.handler\ndef a(ctx, r: StringValue): ...\n@kre.handler\ndef b(ctx, r: StringValue): ..."),
            r"@kre.handler is used twice: a \(.*main.py:6\) and b \(.*main.py:8\)",
        ),
        (
            typed(
                "@kre.handler('x')\ndef a(ctx, r: StringValue): ...\n@kre.handler('x')\ndef b(ctx, r: StringValue): ..."
            ),
            r'@kre.handler\("x"\) is used twice: a .* and b',
        ),
        (typed("@kre.init\ndef a(ctx): ...\n@kre.init\ndef b(ctx): ..."), "@kre.init is used twice: a .* and b"),
        (
            typed("@kre.handler()\ndef a(ctx, r: StringValue): ..."),
            "@kre.handler takes a function or the name of a sender, not None",
        ),
        (typed("kre.handler(7)"), "@kre.handler takes a function or the name of a sender, not 7"),
        (typed("kre.handler('')"), "the sender is empty"),
        (
            typed("@kre.handler\ndef a(ctx, r: StringValue): ...\ndef default_handler(ctx, data): ..."),
            "main uses the decorators and also defines default_handler; choose one form",
        ),
        (
            typed("@kre.handler\ndef a(ctx, r: StringValue): ...\ndef init(ctx): ..."),
            "main uses the decorators and also defines init",
        ),
        (typed("@kre.handler\ndef a(ctx, request): ..."), r"a \(.*\): the parameter request has no annotation"),
        (typed("@kre.handler\ndef a(ctx, request: str): ..."), "<class 'str'> is not a protobuf message"),
        (typed("@kre.handler\ndef a(ctx, request: Nowhere): ..."), "the annotation 'Nowhere' cannot be resolved"),
        (typed("@kre.handler\ndef a(ctx): ..."), r"cannot be called as handler\(ctx, request: Request\)"),
        (typed("@kre.handler\ndef a(*args): ..."), r"write the handler as handler\(ctx, request: Request\)"),
        (
            typed("@kre.init\ndef a(): ...\n@kre.handler\ndef b(ctx, r: StringValue): ..."),
            r"cannot be called as init\(ctx\)",
        ),
        ("def default_handler(ctx): ...", r"default_handler \(.*main.py:1\) cannot be called as handler\(ctx, data\)"),
        (
            "def default_handler(ctx, data): yield",
            "default_handler .* is a generator: send messages with ctx.send_output",
        ),
        ("async def default_handler(ctx, data): yield", "default_handler .* is a generator"),
        ("default_handler = 3", r"3 is not a function; expected handler\(ctx, data\)"),
        ("custom_handlers = [1]", r"custom_handlers must be a dict"),
        ("custom_handlers = {1: lambda ctx, data: 0}", "1 is not the name of a sender"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, source: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        of_module(module(tmp_path, source))
