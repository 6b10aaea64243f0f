"""Reads the file that KRE_NATS_CREDS names: the token by which the broker knows the version.

The token is a bearer one: whoever shows it is believed, and signs nothing. So this process needs nothing to sign with,
and the key that the file holds besides is left alone.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from pathlib import Path

from kre.errors import StartError

_TOKEN = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-+")


def read_token(path: str) -> bytes:
    """Return the token; a StartError says what is wrong with the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"KRE_NATS_CREDS: cannot read {path}: {error}") from error
    found = _TOKEN.search(text)
    if found is None:
        raise StartError(f"KRE_NATS_CREDS: {path} holds no NATS USER JWT")
    token = found.group(1)
    if not _is_bearer(token):
        raise StartError(
            f"KRE_NATS_CREDS: the JWT in {path} is not a bearer token, which is the only kind that the Python SDK can "
            "use: make the user with bearer_token"
        )
    return token.encode()


class Token:
    """The token of a file that may be replaced while the process runs."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._last = read_token(path)

    def latest(self) -> bytes:
        """Return what the file holds now, or what it held last if that cannot be told."""
        with suppress(StartError):
            self._last = read_token(self._path)
        return self._last


def _is_bearer(token: str) -> bool:
    try:
        _, claims, _ = token.split(".")
        decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return decoded["nats"].get("bearer_token") is True
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
