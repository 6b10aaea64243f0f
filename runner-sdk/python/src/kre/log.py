"""The logger of a node, and the ids that a record carries when it belongs to a message."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass

LOGGER = logging.getLogger("kre.node")
"""The logger behind ctx.logger."""


@dataclass(slots=True)
class Labels:
    """Ids that a record carries when it belongs to a message."""

    request_id: str = ""
    message_id: str = ""
    attempt: int = 0


_NO_LABELS = Labels()
LABELS: ContextVar[Labels] = ContextVar("kre_labels", default=_NO_LABELS)
"""Labels of the message that the running code handles; gives other loggers' lines their ids, too."""


def labels_of(record: logging.LogRecord) -> Labels:
    """Return the ids of the message that a record belongs to."""
    labels = getattr(record, "kre", None)
    return labels if isinstance(labels, Labels) else LABELS.get()
