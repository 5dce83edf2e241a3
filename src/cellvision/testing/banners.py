"""Whether figures of a reporter show that results leak, are a control's, or lack groups.

The same run is reported on with and without a warning: a figure that carries it looks different.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision.interfaces.artifact import Artifact

if TYPE_CHECKING:
    from cellvision.results.run import Run

BANNERS: Mapping[str, Mapping[str, Any]] = {
    "leak": {"leaks": [{"kind": "shared_group", "splits": ["train", "test"], "files": []}]},
    "control": {"control": "some_control"},
    "groups unknown": {"group_column": None},
}
"""Kinds of warnings, with what ``run.json`` then says."""

_DATES = re.compile(rb"<dc:date>.*?</dc:date>|/(Creation|Mod)Date \([^)]*\)")
"""When a figure was drawn; two equal figures differ in it."""


def run_with_banner(folder: Path, example: Callable[[Path], Run], banner: str) -> Run:
    """Return an example run that a warning of `BANNERS` is about."""
    from cellvision.results.run import load_run

    path = example(folder).folder / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, **BANNERS[banner]}), encoding="utf-8")
    return load_run(folder)


def appearance(artifact: Artifact, *, with_caption: bool) -> tuple[bytes, str]:
    """Return what a reader sees of a figure or page, without dates."""
    content = artifact.path.read_bytes()
    if artifact.path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        content = _pixels(artifact.path)
    return _DATES.sub(b"", content), artifact.caption if with_caption else ""


def _pixels(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB").tobytes()
