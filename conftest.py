"""Settings and fixtures of all tests: of the core in tests/, of the plugins beside each plugin."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Tests must not count as looks of the person who runs them.
os.environ["CELLVISION_ODOMETER"] = "off"

# Tests must not fail because the machine is busy.
hypothesis.settings.register_profile("cellvision", deadline=None)
hypothesis.settings.load_profile("cellvision")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets, which are not part of the project."""
    named = os.environ.get("CELLVISION_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[1] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}: set CELLVISION_SHARED_DATA to their folder")
    return folder
