"""Loads the module that a node's `src` names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from kre.errors import StartError


def load(src: str, root: Path) -> ModuleType:
    """Import the file src of the package under root.

    The folder of src, root and its generated code are put first on sys.path. What the import raises comes through.
    """
    path = root / src
    if not path.is_file():
        raise StartError(f"src {src} is not in the package {root}")
    if b"async def" in path.read_bytes():
        # What will be needed is imported before the package is on sys.path: there may be a queue.py beside src.
        import kre.looped  # noqa: F401, PLC0415
    for folder in (root / ".kre" / "gen" / "python", root, path.parent):
        if (entry := str(folder)) in sys.path:
            sys.path.remove(entry)
        sys.path.insert(0, entry)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise StartError(f"src {src} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
