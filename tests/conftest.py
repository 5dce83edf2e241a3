"""What several test files need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from prepare_folders import fields  # noqa: F401 - a fixture

# A busy machine is no fault of the code.
hypothesis.settings.register_profile("cellvision", deadline=None)
hypothesis.settings.load_profile("cellvision")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_this_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests, and the processes that they start, out of the user's own folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("CELLVISION_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets, which are kept beside the project, not in it."""
    named = os.environ.get("CELLVISION_SHARED_DATA")
    root = Path(__file__).resolve().parents[1]
    folder = Path(named) if named else root.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: name its folder in CELLVISION_SHARED_DATA")
    return folder
