"""What a message is."""

from __future__ import annotations

from enum import Enum

ENTRYPOINT = "entrypoint"
"""Sender of the caller's requests."""


class Kind(str, Enum):
    """What a message is: its name, and its number in the worker protocol."""

    number: int
    early: bool
    """Whether it answers the caller before the workflow has ended."""

    OK = "ok", 1
    ERROR = "error", 2
    EARLY_REPLY = "early-reply", 3
    EARLY_EXIT = "early-exit", 4

    def __new__(cls, name: str, number: int) -> Kind:
        """Make a kind of its name and number."""
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.number = number
        kind.early = name.startswith("early")
        return kind


_KINDS = {kind.number: kind for kind in Kind}


def kind_of(number: int) -> Kind:
    """Return the kind of a number of the protocol; an unknown one counts as ordinary."""
    return _KINDS.get(number, Kind.OK)
