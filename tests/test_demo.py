"""The demo: its pages show what the runs' reporters made, in the page's order."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision.demo import demo
from cellvision.testing.isolation import Isolation


class Cells(cv.Dataset):
    """Bright images for one class; for none if `strength` is 0."""

    path: Path
    strength: float

    def catalog(self) -> pd.DataFrame:
        rows = [
            {"image": f"{split}/{label}/{k}", "label": label, "split": split, "field": f"{k % 6}"}
            for split, count in (("train", 24), ("validation", 12), ("test", 24))
            for label in ("control", "treated")
            for k in range(count)
        ]
        table = pd.DataFrame(rows)
        return table.assign(group=table["split"] + table["label"] + table["field"])

    def read(self, image: str) -> np.ndarray:
        seed = zlib.crc32(image.encode())
        level = 60 + (100 * self.strength if "treated" in image else 0)
        return np.stack([tiny.pixels(level, seed), tiny.pixels(level, seed + 1)], axis=-1)


class Still(cv.Augmenter):
    """Changes nothing."""

    def build(self, seed: int) -> object:
        import keras

        return keras.layers.Identity()


class Bright(cv.Architecture):
    """Learns whether an image is bright in the demo's few epochs."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> object:
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.GlobalAveragePooling2D(),
            layers.Rescaling(1000, -430),  # between the levels 60 and 160 of 255
            layers.Dense(classes, "softmax", kernel_initializer="zeros", dtype="float32"),
        ]
        return keras.Sequential(stack)


class Notes(cv.Reporter):
    """Writes two figures, whose names and order differ, a table and a page."""

    enabled_by_default = True

    def run(self, run: cv.Run, folder: Path) -> Sequence[cv.Artifact]:
        for name in ("zebra a.png", "ant.png", "table.csv", "page.html"):
            (folder / name).write_bytes(b"x")
        return [
            cv.Artifact(folder / "ant.png", "The <second>", "figure", "Of two.", order=200),
            cv.Artifact(folder / "zebra a.png", "The first", "figure", "Of all.", order=100),
            cv.Artifact(folder / "table.csv", "A table", "table"),
            cv.Artifact(folder / "page.html", "The report", "page"),
        ]


@pytest.mark.exhaustive
def test_the_demo_tells_the_problems_apart_and_shows_the_artifacts(
    isolated_registries: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    cv.datasets.register("synthetic_cells", Cells)
    cv.augmenters.register("flip", Still)
    cv.architectures.register("resnet", Bright)
    cv.reporters.register("notes", Notes)
    page = demo(tmp_path / "demo", progress=False)
    html, text = page.read_text("utf-8"), page.with_suffix(".md").read_text("utf-8")
    easy, impossible = text.split("## Impossible")
    assert "100\u00a0% of 48 images from 12 fields are right (95\u00a0% interval" in easy
    assert "always predicting the most common class: 50\u00a0%" in easy
    assert "**Learned" in easy
    assert "**Cannot tell" in impossible
    figures = ["easy/run/reports/zebra%20a.png", "easy/run/reports/ant.png"]
    assert text.index(figures[0]) < text.index(figures[1])
    assert all(f'<img src="{figure}"' in html for figure in figures)
    assert "The &lt;second&gt;. Of two." in html
    assert '<a href="impossible/run/reports/page.html">The report</a>' in html
    assert "table.csv" not in html
