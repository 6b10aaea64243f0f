"""The typed form: decorators that write down, module by module, what a node is made of.

What a module registers is kept in the module itself, so that several of the same name can live in one test process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from kre.errors import UsageError

_NAME = "__kre_registered__"
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Registered:
    """What one module registered with the decorators."""

    spec: object
    init: Callable[..., Any] | None = None
    default: Callable[..., Any] | None = None
    by_sender: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def functions(self) -> list[Callable[..., Any]]:
        """Return every registered function."""
        return [f for f in (self.init, self.default, *self.by_sender.values()) if f is not None]


def registered(namespace: dict[str, Any]) -> Registered | None:
    """Return what the module with this namespace registered; None if it used no decorator."""
    found = namespace.get(_NAME)
    # importlib.reload keeps the namespace and replaces the spec: what the old code registered is void.
    return found if isinstance(found, Registered) and found.spec is namespace.get("__spec__") else None


def _book(namespace: dict[str, Any]) -> Registered:
    found = registered(namespace)
    if found is None:
        found = namespace[_NAME] = Registered(namespace.get("__spec__"))
    return found


def where(function: Callable[..., Any]) -> str:
    """Return how a person finds a function: its name, file and line."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", repr(function))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def init(function: Function) -> Function:
    """Decorate the function that prepares the process: `init(ctx)`, called once, before anything is consumed."""
    book = _book(sys._getframe(1).f_globals)
    if book.init is not None:
        raise UsageError(f"@kre.init is used twice: {where(book.init)} and {where(function)}; a node has one")
    book.init = function
    return function


@overload
def handler(function_or_sender: Function, /) -> Function: ...
@overload
def handler(function_or_sender: str, /) -> Callable[[Function], Function]: ...
def handler(function_or_sender: Any = None, /) -> Any:
    """Decorate a handler: `handler(ctx, request: Request) -> Response`.

    `@kre.handler` is the default; `@kre.handler("etl")` gets only what the node etl sent ("entrypoint" means the
    caller's requests). The request's type is read from the annotation; what is returned is sent to the default
    channel, None sends nothing.
    """
    if isinstance(function_or_sender, str):
        sender = function_or_sender
        if not sender:
            raise UsageError("@kre.handler: the sender is empty; write @kre.handler for the default handler")

        def register(function: Function) -> Function:
            book = _book(sys._getframe(1).f_globals)
            if sender in book.by_sender:
                first = where(book.by_sender[sender])
                raise UsageError(f'@kre.handler("{sender}") is used twice: {first} and {where(function)}')
            book.by_sender[sender] = function
            return function

        return register
    if not callable(function_or_sender):
        raise UsageError(f"@kre.handler takes a function or the name of a sender, not {function_or_sender!r}")
    book = _book(sys._getframe(1).f_globals)
    if book.default is not None:
        raise UsageError(
            f"@kre.handler is used twice: {where(book.default)} and {where(function_or_sender)}; "
            'name the sender of one of them: @kre.handler("sender")'
        )
    book.default = function_or_sender
    return function_or_sender
