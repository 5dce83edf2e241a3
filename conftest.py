"""Settings and fixtures of all tests: of the core in tests/, of the plugins beside each plugin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser without a window."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install 'cellvision[test]'"
    )
    chromium = os.environ.get("CELLVISION_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip(
            "no Chromium: install it (Debian: apt-get install chromium) or name it in "
            "CELLVISION_CHROMIUM"
        )
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()
