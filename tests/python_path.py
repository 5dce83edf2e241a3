"""Where a new process finds the modules of a test."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parent


def python_path(*folders: Path) -> str:
    """Return PYTHONPATH with some folders in front."""
    inherited = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, (*map(str, folders), inherited)))
