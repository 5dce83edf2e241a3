"""Small folders of real image files, and a data set that lives in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tifffile
from PIL import Image

import cellvision as cv
from cellvision import errors


def write(target: Path, pixels: np.ndarray) -> Path:
    """Write one image file; the suffix decides the format."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix in (".tif", ".tiff"):
        tifffile.imwrite(target, pixels)
    else:
        Image.fromarray(pixels).save(target)
    return target


def noise(seed: int, shape: Sequence[int] = (6, 5), dtype: Any = np.uint8) -> np.ndarray:
    """Pixels that no other seed gives."""
    high = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, high, shape, dtype, endpoint=True)


def write_folder(root: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    """Write so many different images into each folder, such as ``{"train/a": 3}``."""
    seed = 0
    for folder, count in counts.items():
        for number in range(count):
            seed += 1
            write(root / folder / f"{number}{suffix}", noise(seed))
    return root


class InMemory(cv.Dataset):
    """A data set that is a table and arrays; it counts how often an image is decoded."""

    name: str
    tables: ClassVar[dict[str, pd.DataFrame]] = {}
    arrays: ClassVar[dict[str, dict[str, Any]]] = {}
    decoded: ClassVar[list[str]] = []

    @classmethod
    def of(
        cls, columns: Mapping[str, Any], pixels: Mapping[str, Any] | None = None, **settings: Any
    ) -> InMemory:
        """Make one from its catalog's columns; images that are not given are noise."""
        table = pd.DataFrame(columns)
        name = f"set {len(cls.tables)}"
        cls.tables[name] = table
        images = list(table["image"]) if "image" in table else []
        cls.arrays[name] = {
            str(image): noise(number, (4, 4, 1)) for number, image in enumerate(images)
        } | dict(pixels or {})
        return cls(name=name, **settings)

    def catalog(self) -> pd.DataFrame:
        return self.tables[self.name]

    def fingerprint(self, image: str) -> str:
        content = self.arrays[self.name][image]
        return (
            str(content)
            if isinstance(content, Exception)
            else f"{content.tobytes()!r} {content.shape}"
        )

    def read(self, image: str) -> np.ndarray:
        self.decoded.append(image)
        content = self.arrays[self.name][image]
        if isinstance(content, Exception):
            raise content
        assert isinstance(content, np.ndarray)
        return content


def unreadable(image: str) -> errors.UnreadableImage:
    """The error of an image that cannot be decoded."""
    return errors.UnreadableImage(image, "it is cut off")
