"""Texts that leave the process: valid, and no longer than the protocol has it."""

from __future__ import annotations

import re
from collections.abc import Sequence

LIMIT = 256 * 1024
"""Bytes that a record of the log, or the texts of a failure, may have."""
_SURROGATES = re.compile("[\ud800-\udfff]+")
_MARK = len("… ( more bytes)".encode()) + 20
"""Bytes that the word about a cut may take."""


def valid(text: str) -> str:
    """Return text with each run of lone surrogates, which UTF-8 cannot hold, replaced by one U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def shortened(texts: Sequence[str], limit: int = LIMIT - 1024) -> list[str]:
    """Return texts, made valid, of at most limit bytes in UTF-8 together; the longest say by how much they were cut.

    The default leaves room in a record for its ids.
    """
    made = [valid(text) for text in texts]
    if 4 * sum(map(len, made)) <= limit:
        return made
    encoded = [text.encode() for text in made]
    room, share = limit, limit
    for count, size in zip(range(len(encoded), 0, -1), sorted(map(len, encoded)), strict=True):
        share = room // count
        room -= min(size, share)
    return [_cut(data, share) if len(data) > share else text for text, data in zip(made, encoded, strict=True)]


def _cut(data: bytes, size: int) -> str:
    kept = data[: max(0, size - _MARK)].decode("utf-8", "ignore")
    return f"{kept}… ({len(data) - len(kept.encode())} more bytes)"


def one_line(text: str) -> str:
    """Return text on one line."""
    return " ".join(text.split())
