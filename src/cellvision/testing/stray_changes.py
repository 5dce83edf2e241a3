"""Changes that a plugin makes outside its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def stray_changes(world: Path, excluded: Path) -> Iterator[list[str]]:
    """Yield a list that names, after the block, what changed below `world`.

    The block runs in a working directory below `world`.

    Parameters
    ----------
    world
        Folder with all that the plugin might change.
    excluded
        Folder that it may change.
    """
    strays: list[str] = []
    directory = world / "working directory"
    directory.mkdir(exist_ok=True)
    before = _snapshot(world, excluded)
    with contextlib.chdir(directory):
        yield strays
        if Path.cwd() != directory.resolve():
            strays.append("the working directory")
    after = _snapshot(world, excluded)
    strays += sorted(name for name in before.keys() | after if before.get(name) != after.get(name))


def _snapshot(world: Path, excluded: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(world)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in world.rglob("*")
        if path.is_file() and not path.is_relative_to(excluded)
    }
