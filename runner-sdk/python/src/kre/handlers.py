"""The handlers of a module, in either form, and the choice among them."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message

from kre.errors import FinalError, UsageError
from kre.registry import Registered, registered, where


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling the function gives a coroutine."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


@dataclass(frozen=True)
class Handler:
    """A function of the user and the type it wants; without a type it takes the Any itself."""

    function: Callable[..., Any]
    request: type[Message] | None
    is_async: bool

    def argument(self, body: bytes, sender: str) -> Message:
        """Decode a body for this handler; one that does not fit is a FinalError naming sender and types."""
        try:
            data = any_pb2.Any.FromString(body)
        except DecodeError:
            raise FinalError(f"what {sender} sent is not a google.protobuf.Any") from None
        if (request := self.request) is None or request is any_pb2.Any:
            return data
        expected = request.DESCRIPTOR.full_name
        received = data.type_url.rpartition("/")[2]
        if received != expected:
            raise FinalError(
                f"the handler for {sender} expects {expected} and received {received or 'a message without a type'}"
            )
        try:
            return request.FromString(data.value)
        except DecodeError:
            raise FinalError(f"{sender} sent a {expected} that does not parse") from None


@dataclass(frozen=True)
class Handlers:
    """Everything the platform calls in a module."""

    init: Callable[..., Any] | None
    default: Handler | None
    by_sender: Mapping[str, Handler]
    typed: bool

    def choose(self, sender: str) -> Handler:
        """Return the handler for what sender sent; a FinalError if there is none."""
        found = self.by_sender.get(sender, self.default)
        if found is None:
            known = ", ".join(sorted(self.by_sender))
            raise FinalError(f"no handler for what {sender} sent: there is no default handler, only for {known}")
        return found

    @property
    def all_sync(self) -> bool:
        """Whether neither init nor any handler is an `async def`."""
        return not any(handler.is_async for handler in self._every) and not (self.init and is_async(self.init))

    @property
    def any_sync(self) -> bool:
        """Whether some handler is a plain function."""
        return not all(handler.is_async for handler in self._every)

    @property
    def _every(self) -> list[Handler]:
        return [*self.by_sender.values(), *([self.default] if self.default else [])]


def of_module(module: ModuleType) -> Handlers:
    """Collect a module's handlers; anything that cannot work is a UsageError."""
    book = registered(vars(module))
    if book is not None:
        return _typed(module, book)
    return _untyped(module)


def _typed(module: ModuleType, book: Registered) -> Handlers:
    ours = book.functions()
    for name in ("init", "default_handler", "custom_handlers"):
        value = getattr(module, name, None)
        if value is not None and value not in ours and not isinstance(value, ModuleType):
            raise UsageError(
                f"{module.__name__} uses the decorators and also defines {name}; "
                "choose one form: @kre.init and @kre.handler, or init, default_handler and custom_handlers"
            )
    if book.default is None and not book.by_sender:
        raise UsageError(f"{module.__name__} has no handler; decorate a function with @kre.handler")
    if book.init is not None:
        _takes(book.init, 1, "init(ctx)")
    return Handlers(
        init=book.init,
        default=_typed_handler(book.default) if book.default else None,
        by_sender={sender: _typed_handler(f) for sender, f in book.by_sender.items()},
        typed=True,
    )


def _untyped(module: ModuleType) -> Handlers:
    init = getattr(module, "init", None)
    default = getattr(module, "default_handler", None)
    custom = getattr(module, "custom_handlers", None) or {}
    if not isinstance(custom, Mapping):
        raise UsageError(f'{module.__name__}.custom_handlers must be a dict {{"sender": handler}}')
    if default is None and not custom:
        raise UsageError(
            f"{module.__name__} has no handler; decorate a function with @kre.handler, "
            "or define default_handler(ctx, data) or custom_handlers"
        )
    if init is not None:
        _takes(init, 1, "init(ctx)")
    by_sender = {}
    for sender, function in custom.items():
        if not isinstance(sender, str):
            raise UsageError(f"{module.__name__}.custom_handlers: {sender!r} is not the name of a sender")
        by_sender[sender] = _untyped_handler(function)
    return Handlers(init, _untyped_handler(default) if default else None, by_sender, typed=False)


def _untyped_handler(function: Any) -> Handler:
    _takes(function, 2, "handler(ctx, data)")
    return Handler(function, None, is_async(function))


def _typed_handler(function: Callable[..., Any]) -> Handler:
    _takes(function, 2, "handler(ctx, request: Request)")
    return Handler(function, _request_type(function), is_async(function))


def _takes(function: Any, count: int, shape: str) -> None:
    if not callable(function):
        raise UsageError(f"{function!r} is not a function; expected {shape}")
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        raise UsageError(f"{where(function)} cannot be called as {shape}") from None
    except ValueError:  # a builtin without a signature: nothing to check
        return
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{where(function)} is a generator: send messages with ctx.send_output instead of yield")


def _request_type(function: Callable[..., Any]) -> type[Message]:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:  # *args
        raise UsageError(f"{where(function)}: write the handler as handler(ctx, request: Request)")
    annotation = parameters[1].annotation
    if annotation is inspect.Parameter.empty:
        raise UsageError(
            f"{where(function)}: the parameter {parameters[1].name} has no annotation; "
            f"write the type of message it takes, e.g. {parameters[1].name}: Request"
        )
    if isinstance(annotation, str):
        annotation = _evaluate(annotation, function)
    if not (isinstance(annotation, type) and issubclass(annotation, Message)):
        raise UsageError(
            f"{where(function)}: {annotation!r} is not a protobuf message; "
            "a typed handler takes one, e.g. request: Request"
        )
    return annotation


def _evaluate(annotation: str, function: Callable[..., Any]) -> Any:
    plain = inspect.unwrap(function)
    while isinstance(plain, partial):
        plain = plain.func
    plain = getattr(plain, "__func__", plain)
    names = getattr(plain, "__globals__", {})
    try:
        return eval(annotation, {**vars(builtins), **names})  # the module's own source, loaded as code already
    except Exception as error:
        raise UsageError(
            f"{where(function)}: the annotation {annotation!r} cannot be resolved ({error}); "
            "import the type where the module can see it when it runs"
        ) from None
