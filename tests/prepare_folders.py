"""Folders of images that the tests of `prepare` start from, and ways to look at results."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellvision.data.files import read_image


def noise(height: int, width: int, dtype: str = "uint16", channels: int = 0) -> np.ndarray:
    """Noise with the depth of a 12-bit camera if the dtype has 16 bits."""
    shape = (height, width, channels) if channels else (height, width)
    high = {"uint8": 256, "uint16": 4096}.get(dtype, 1000)
    return np.random.default_rng(height * 1000 + width).integers(0, high, shape).astype(dtype)


def pixels(path: Path) -> np.ndarray:
    """Read (H, W, C) pixels."""
    return read_image(path).pixels


def tree(folder: Path) -> dict[str, str]:
    """Map every visible file to a digest of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def manifest(folder: Path) -> list[dict[str, str]]:
    """Read the rows of a manifest."""
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Two classes of wide-field images, with plate and well beside them."""
    folder = tmp_path / "fields"
    for name in ("control/a1.tif", "control/a2.tif", "treated/b10.tif", "treated/b9.tif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name, noise(40, 60) + len(name))
    (folder / "groups.csv").write_text(
        "file,plate,well\ncontrol/a1.tif,007,B02\ncontrol/a2.tif,007,B03\n"
        "treated/b10.tif,007,C02\ntreated/b9.tif,007,C03\n"
    )
    (folder / ".DS_Store").write_bytes(b"phantom")
    (folder / "control" / "._a1.tif").write_bytes(b"phantom")
    return folder


def entangled(folder: Path) -> None:
    """Write images whose old names are each other's new names: only two phases handle this."""
    (folder / "c").mkdir(parents=True)
    for index, name in enumerate(("s1.png", "s2.png", "s0.tif", "s3.png", "x.png")):
        (folder / "c" / name).write_bytes(bytes([index]) * 9)
    (folder / "groups.csv").write_text(
        "file,well\nc/s1.png,B\nc/s2.png,C\nc/s0.tif,A\nc/s3.png,D\nc/x.png,E\n"
    )
