"""`python -m kre`: runs the node that the environment describes."""

from __future__ import annotations

import sys

from kre.runner import main

if __name__ == "__main__":
    sys.exit(main())
