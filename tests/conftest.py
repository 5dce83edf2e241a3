"""Fixtures of the core's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tiny
from prepare_folders import fields  # noqa: F401 - a fixture

from cellvision import local_plugins


@pytest.fixture(autouse=True)
def _forget_local_plugins() -> Iterator[None]:
    """Forget the files of plugins that a test loads: experiments of later tests would name them."""
    before = set(local_plugins._loaded)
    yield
    for module in set(local_plugins._loaded) - before:
        local_plugins._forget(module)


@pytest.fixture(scope="module")
def tiny_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Plugins of `tiny`, and a cache that the tests of a module share."""
    with pytest.MonkeyPatch.context() as patch, tiny.on_offer():
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
