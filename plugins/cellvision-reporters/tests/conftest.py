"""Fixtures of the reporters' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellvision.testing import example_plugins


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: trains a network")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _example_plugins() -> Iterator[None]:
    """Register the data set and the network of the example runs."""
    with example_plugins():
        yield


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved, as it was saved."""
    from cellvision_reporters.figures import CaptionedFigure

    figures: list[Any] = []
    save = CaptionedFigure.save

    def keep(self: CaptionedFigure, target: Path, dpi: int) -> Path:
        figures.append(self.canvas)
        return save(self, target, dpi)

    monkeypatch.setattr(CaptionedFigure, "save", keep)
    return figures
