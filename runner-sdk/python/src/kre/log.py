"""The logger of a node, and the ids that a record carries when it belongs to a message."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from kre.worker_pb2 import Run

LOGGER = logging.getLogger("kre.node")
"""The logger behind ctx.logger."""


NO_RUN = Run()
"""What a record belongs to that belongs to no message: a run without ids."""
RUNNING: ContextVar[Run] = ContextVar("kre_run", default=NO_RUN)
"""The run whose code this is; gives other loggers' lines their ids, too."""


def run_of(record: logging.LogRecord) -> Run:
    """Return the run that a record belongs to."""
    run = getattr(record, "kre", None)
    return run if isinstance(run, Run) else RUNNING.get()
