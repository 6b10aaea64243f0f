"""Services of ctx that are not there yet: each says so by name instead of pretending to have worked."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from kre.errors import NotAvailableError

_warned: set[str] = set()


def _missing(verb: str) -> NoReturn:
    raise NotAvailableError(f"ctx.{verb} is not available yet in this version of KRE")


class Measurement:
    """Measurements of a node."""

    def __init__(self, logger: logging.LoggerAdapter[logging.Logger]) -> None:
        self._logger = logger

    def save(
        self,
        name: str,
        fields: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
        time: datetime | None = None,
    ) -> None:
        """Save nothing yet, and warn of it once per process."""
        if "measurement" not in _warned:
            _warned.add("measurement")
            self._logger.warning("ctx.measurement.save is not available yet: measurements are dropped")


class Prediction:
    """Predictions and what turned out to be true."""

    def save(
        self,
        predicted_value: str,
        true_value: str,
        extra: Mapping[str, Any] | None = None,
        utcdate: datetime | None = None,
        error: str = "",
    ) -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("prediction.save")


class Database:
    """Documents of the runtime."""

    def save(self, collection: str, doc: Mapping[str, Any]) -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("db.save")

    def find(self, collection: str, query: Mapping[str, Any]) -> Awaitable[list[dict[str, Any]]]:
        """Raise NotAvailableError."""
        _missing("db.find")


class ObjectStore:
    """Objects of a workflow or of the project."""

    def save(self, key: str, payload: bytes) -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("object_store.save")

    def get(self, key: str) -> Awaitable[bytes]:
        """Raise NotAvailableError."""
        _missing("object_store.get")

    def list(self, regexp: str = "") -> Awaitable[list[str]]:
        """Raise NotAvailableError."""
        _missing("object_store.list")

    def delete(self, key: str) -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("object_store.delete")

    def purge(self, regexp: str = "") -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("object_store.purge")


class Configuration:
    """Key-value pairs of a node, a workflow or the project."""

    def set(self, key: str, value: str, scope: str = "node") -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("configuration.set")

    def get(self, key: str, scope: str | None = None) -> Awaitable[str]:
        """Raise NotAvailableError."""
        _missing("configuration.get")

    def delete(self, key: str, scope: str = "node") -> Awaitable[None]:
        """Raise NotAvailableError."""
        _missing("configuration.delete")
