"""Every data set passes the conformance kit."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision.testing import DatasetChecks, write_images


class TestFolder(DatasetChecks):
    name = "folder"
    invalid_settings = {"path": 3}

    def settings(self, folder: Path) -> dict[str, Any]:
        write_images(folder, suffix=".tif")
        (folder / "groups.csv").write_text("file,well\nalpha/0.tif,A1\n", encoding="utf-8")
        return {"path": folder}


@pytest.mark.exhaustive
class TestTable(DatasetChecks):
    name = "table"
    invalid_settings = {"path": 3}

    def settings(self, folder: Path) -> dict[str, Any]:
        files = write_images(folder)
        rows = "".join(f"{file.relative_to(folder)},{file.parent.name}\n" for file in files)
        (folder / "table.csv").write_text(f"file,label\n{rows}", encoding="utf-8")
        return {"path": folder / "table.csv"}


@pytest.mark.exhaustive
class TestSyntheticCells(DatasetChecks):
    name = "synthetic_cells"
    invalid_settings = {"strength": 2}

    def settings(self, folder: Path) -> dict[str, Any]:
        return {"path": folder / "cells", "fields": 2, "field_size": 64, "tiles": 4}


@pytest.mark.exhaustive
class TestFlowers(DatasetChecks):
    name = "flowers"

    def settings(self, folder: Path) -> dict[str, Any]:
        write_images(folder, ("daisy", "tulips"), suffix=".jpg", shape=(12, 16, 3))
        return {"path": folder}


class TestFashionMnist(DatasetChecks):
    name = "fashion_mnist"

    def settings(self, folder: Path) -> dict[str, Any]:
        noise = np.random.default_rng(0)
        for name, count in (("train", 20), ("t10k", 10)):
            images = noise.integers(0, 256, (count, 28, 28))
            write_idx(folder / f"{name}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{name}-labels-idx1-ubyte.gz", np.arange(count) % 10)
        return {"path": folder}


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write bytes in the idx format of Fashion-MNIST."""
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_every_data_set_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, DatasetChecks)
    }
    installed = {
        info.name for info in cv.datasets.plugins() if info.distribution == "cellvision-datasets"
    }
    assert installed
    assert installed <= checked
