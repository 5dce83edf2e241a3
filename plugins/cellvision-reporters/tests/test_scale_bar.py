"""A scale bar of the right length is drawn where the pixel size is known, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import cellvision as cv
from cellvision import io

Writer = Callable[[Path, np.ndarray], None]


def ome(size: float, unit: str = "µm", down: float | None = None) -> Writer:
    metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    metadata |= {"PhysicalSizeY": down or size, "PhysicalSizeYUnit": unit}
    return lambda path, pixels: tifffile.imwrite(path, pixels, ome=True, metadata=metadata)


def imagej(size: float, unit: str = "micron") -> Writer:
    settings: dict[str, Any] = {"imagej": True, "resolution": (1 / size, 1 / size)}
    return lambda path, pixels: tifffile.imwrite(path, pixels, metadata={"unit": unit}, **settings)


def for_print(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, pixels, resolution=(300, 300), resolutionunit="INCH")


@pytest.mark.parametrize(
    ("write", "size"),
    [
        (ome(0.5), 0.5),
        (ome(650, "nm"), 0.65),
        (ome(0.5, down=0.7), None),
        (ome(1, "pixel"), None),
        (imagej(0.25), 0.25),
        (imagej(0.25, "\\u00B5m"), 0.25),
        (imagej(2, "pixel"), None),
        (for_print, None),
    ],
)
def test_pixel_sizes(tmp_path: Path, write: Writer, size: float | None) -> None:
    path = tmp_path / "a.tif"
    write(path, np.zeros((20, 20), np.uint16))
    assert io.read_pixel_size(path) == (size if size is None else pytest.approx(size, rel=1e-4))


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0\0\0"])
def test_files_without_a_pixel_size(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert io.read_pixel_size(path) is None
    assert io.read_pixel_size(tmp_path / "absent.tif") is None


def images(root: Path, write: Writer, sizes: tuple[int, ...] = (40,)) -> Path:
    rng = np.random.default_rng(0)
    for number in range(16):
        path = root / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = sizes[number // 2 % len(sizes)]
        write(path, rng.integers(0, 4000, (side, side)).astype(np.uint16))
    return root


def sheet(root: Path, **settings: Any) -> Figure:
    dataset = cv.datasets.create("folder", path=root, **settings)
    return cv.audit(dataset).plot.sheet()


def bars(figure: Figure) -> list[float]:
    """Return the lengths of the white bars in pixels."""
    patches = [patch for axes in figure.axes for patch in axes.patches]
    rectangles = [patch for patch in patches if isinstance(patch, Rectangle)]
    return [one.get_width() for one in rectangles if one.get_facecolor()[:3] == (1, 1, 1)]


def caption(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def test_one_bar_where_all_images_are_alike(tmp_path: Path) -> None:
    figure = sheet(images(tmp_path, ome(0.65)))
    # 40 pixels are 26 µm; 10 µm is the longest round length within 40 % of them.
    assert bars(figure) == [pytest.approx(10 / 0.65)]
    assert "Scale bar: 10 µm." in caption(figure)


def test_a_bar_in_each_image_where_widths_differ(tmp_path: Path) -> None:
    figure = sheet(images(tmp_path, imagej(0.01), sizes=(40, 80)))
    assert bars(figure) == pytest.approx([10] * 16, rel=1e-4)
    assert "Scale bar: 100 nm." in caption(figure)


def test_large_images_are_shrunk_and_so_is_the_bar(tmp_path: Path) -> None:
    figure = sheet(images(tmp_path, ome(50), sizes=(200,)))
    assert bars(figure) == [pytest.approx(2000 / 50 / 2)]
    assert "Scale bar: 2 mm." in caption(figure)


def test_the_table_of_provenance_goes_first(tmp_path: Path) -> None:
    images(tmp_path, ome(0.65))
    rows = [f"{'ab'[k % 2]}/{k}.tif,0.2" for k in range(16)]
    (tmp_path / "groups.csv").write_text("\n".join(["file,pixel_size", *rows]))
    assert bars(sheet(tmp_path)) == [pytest.approx(2 / 0.2)]


def test_no_bar_where_the_size_of_one_image_is_unknown(tmp_path: Path) -> None:
    images(tmp_path, ome(0.65))
    for_print(tmp_path / "a" / "0.tif", np.arange(1600, dtype=np.uint16).reshape(40, 40))
    figure = sheet(tmp_path)
    assert bars(figure) == []
    assert "Scale bar" not in caption(figure)
