"""Counts how often a message was started without an end, so that one that kills its process is found out."""

from __future__ import annotations

import logging

from kre import wire
from kre.store import Outgoing, Store

_log = logging.getLogger("kre")
SUSPECT = 3
"""Deliveries from which on a message's starts are counted."""
DEADLY = 3
"""Counted starts without an end after which a message is given up."""
DEATHS = SUSPECT - 1 + DEADLY
"""How often it then has ended its process."""


class Starts:
    """The starts of one node's messages, in the version's bucket."""

    def __init__(self, store: Store, bucket: str, node: str) -> None:
        self._store = store
        self._bucket = bucket
        self._node = node

    def _subject(self, message_id: str) -> str:
        return f"$KV.{self._bucket}.{wire.starts_key(self._node, message_id)}"

    async def count(self, message_id: str) -> int:
        """Return how many starts are on record."""
        found = await self._store.last_at(f"KV_{self._bucket}", self._subject(message_id))
        if found is None or "KV-Operation" in found[0]:
            return 0
        try:
            return int(found[1])
        except ValueError:
            _log.warning("the starts of message %s are not a number, counting from 0", message_id)
            return 0

    async def record(self, message_id: str, count: int) -> None:
        """Write the number of starts, confirmed."""
        await self._store.put([Outgoing(self._subject(message_id), str(count).encode(), {})], None)

    async def forget(self, message_id: str) -> None:
        """Delete the record, confirmed."""
        await self._store.put([Outgoing(self._subject(message_id), b"", {"KV-Operation": "DEL"})], None)
