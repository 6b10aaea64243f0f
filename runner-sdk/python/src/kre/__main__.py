"""`python -m kre`: runs a node, as the worker of the runner that started it."""

from __future__ import annotations

import sys

from kre.worker import main

if __name__ == "__main__":
    sys.exit(main())
