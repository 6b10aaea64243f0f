"""Says when a handler runs longer than its workflow's timeout: in the log, and to who listens for the node's status."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from nats.nuid import NUID

from kre.broker import Broker, NoAnswer
from kre.config import NodeConfig
from kre.log import LABELS
from kre.userland import Job, Userland

_log = logging.getLogger("kre")
TELL = 5.0
"""Seconds between two words about a handler that still runs."""


class Slowness:
    """Watches the handler that runs. Belongs to the event loop of the broker's traffic."""

    def __init__(self, node: NodeConfig, broker: Broker, userland: Userland) -> None:
        self._node = node
        self._broker = broker
        self._userland = userland
        self._replica = NUID().next().decode()
        self._slow: Job | None = None
        """That was told of, and not yet told to be over."""
        self._told = 0.0
        self._warn = 0.0

    async def look(self) -> None:
        """See what runs now, and for how long; called a few times a second."""
        running, now = self._userland.running, time.perf_counter()
        if self._slow is not None and running is not self._slow:
            self._slow = None
            await self._tell([])
        if running is None:
            return
        timeout = self._node.timeout_ms / 1000
        spent = now - running.began
        if spent <= timeout:
            return
        if self._slow is None:
            self._slow, self._told, self._warn = running, 0.0, timeout
        if spent >= self._warn:
            self._complain(running, spent, timeout)
            while self._warn <= spent:
                self._warn *= 2
        if not self._told or now - self._told >= TELL:
            self._told = now
            message = running.message
            await self._tell([{"request_id": message.request_id, "message_id": message.id, "seconds": round(spent, 3)}])

    @staticmethod
    def _complain(running: Job, spent: float, timeout: float) -> None:
        token = LABELS.set(running.labels)
        try:
            _log.warning(
                "the handler has been running for %.1f s, longer than the workflow's timeout of %g s; "
                "its message stays with it",
                spent,
                timeout,
            )
        finally:
            LABELS.reset(token)

    async def _tell(self, slow: list[dict[str, Any]]) -> None:
        """Say what is slow now, or that nothing is. Nobody confirms it, and nothing depends on it."""
        if not self._node.status:
            return
        node = self._node
        told = {"workflow": node.workflow, "node": node.node, "replica_id": self._replica, "slow": slow}
        try:
            await self._broker.publish(node.status, json.dumps(told).encode())
        except NoAnswer:
            _log.debug("the broker was away for the status of the node")
