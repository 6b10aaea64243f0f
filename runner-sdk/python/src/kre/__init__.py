"""Write nodes of KRE versions in Python.

A node is a module with handlers, decorated (`@kre.init`, `@kre.handler`) or named (`init`, `default_handler`,
`custom_handlers`). The platform runs it as `python -m kre`, `kre.testing.call` tests it without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kre.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    FinalError,
    InvalidArgument,
    NotAvailableError,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UsageError,
)
from kre.registry import handler, init

if TYPE_CHECKING:
    import kre.testing as testing  # noqa: PLR0402 (mypy finds no attribute while the package is being read)
    from kre.context import Context as Context
    from kre.status import ErrorInfo as ErrorInfo
    from kre.status import Status as Status

__version__ = "0.1.0"

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Context",
    "DeadlineExceeded",
    "ErrorInfo",
    "FailedPrecondition",
    "FinalError",
    "InvalidArgument",
    "NotAvailableError",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "Status",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UsageError",
    "handler",
    "init",
    "testing",
]


def __getattr__(name: str) -> Any:  # what not every process needs is imported when it is first asked for
    import importlib  # noqa: PLC0415

    if name == "testing":
        return importlib.import_module("kre.testing")
    if name == "Context":
        return importlib.import_module("kre.context").Context
    if name in ("Status", "ErrorInfo"):
        return getattr(importlib.import_module("kre.status"), name)
    raise AttributeError(f"module 'kre' has no attribute {name!r}")
