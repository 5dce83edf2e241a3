"""The page of an audit: contact sheets, histograms and tables, before any training."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_checks import assert_is_a_picture, assert_nothing_is_clipped, prose, texts
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.testing import SyntheticImages

CLASSES = ("<b>control", "a $price$ | bar", "treated")


def write_images(root: Path, count: int = 8, high: int = 200) -> Path:
    """Write grey images of `CLASSES` with wells and plates; the last class has colours."""
    lines = ["file,well,plate"]
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for k in range(count):
            shape = (20, 30, 3) if number == 2 else (24, 24)
            pixels = np.random.default_rng(100 * number + k).integers(0, high, shape, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{k}.png")
            lines.append(f'"{name}/{k}.png",w{number}{k},p{k % 2}')
    (root / "groups.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = write_images(tmp_path / "images & more")
    (root / "treated" / "torn <x>.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


def audited(root: Path, out: Path | None = None) -> cv.Audit:
    dataset = cv.datasets.create("folder", path=root, group="well", batch="plate")
    return cv.audit(cv.Experiment(dataset=dataset), out=out)


def test_the_page_says_everything(images: Path, tmp_path: Path) -> None:
    audit = audited(images, tmp_path / "audit")
    page = (tmp_path / "audit" / "reports" / "report.html").read_text(encoding="utf-8")
    text = html.unescape(page)
    assert "<h1>Audit of images &amp; more</h1>" in page
    assert "24 images in 3 classes and 3 splits; 24 wells." in text
    for heading in (
        *("Images as acquired", "Images as the network will see them"),
        *("Histograms of intensity by class", "Sizes, channels and pixel types"),
        *("Groups by class and batch (plate)", "Files that were not used"),
    ):
        assert heading in text
    assert all(warning in text for warning in audit.warnings)
    assert "torn <x>.png" in text
    assert "<b>" not in page
    assert page.count('src="data:image/png;base64,') == 3
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    rows = re.findall(r"<tr><th scope=\"row\">(20 × 30|24 × 24)</th>(.*?)</tr>", page)
    cells = {size: re.findall(r">([^<]*)</td>", rest) for size, rest in rows}
    assert cells["20 × 30"] == ["3", "uint8", "8", "png", "8", "8 treated"]
    assert cells["24 × 24"][4] == "16"


def test_the_page_has_the_look_of_a_run(images: Path, tmp_path: Path) -> None:
    from cellvision_reporters.page.template import render

    audited(images, tmp_path / "audit")
    page = (tmp_path / "audit" / "reports" / "report.html").read_text(encoding="utf-8")
    empty: dict[str, Any] = dict.fromkeys(("subtitle", "headline", "leak"), "")
    lists: dict[str, Any] = {key: [] for key in ("warnings", "sections", "details", "links")}
    other = render("audit.html", heading="Run", reporters=[], **empty, **lists)
    style = re.compile(r"<style>.*?</style>", re.S)
    assert style.findall(page) == style.findall(other)
    assert "prefers-color-scheme: dark" in style.findall(page)[0]


def test_sheets_are_whole(images: Path) -> None:
    audit = audited(images)
    for figure in (audit.plot.sheet(), audit.plot.sheet(view="network"), audit.plot.intensities()):
        assert_nothing_is_clipped(figure)
    shown = prose(audit.plot.sheet())
    assert all(split in shown for split in ("train:", "validation:", "test:"))
    assert "20 × 30" in shown
    assert re.search(r"\d+ to \d+", shown)
    assert "lowest and highest intensity" in shown


def test_the_range_of_each_image_is_below_it(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", count=5, high=77)
    audit = audited(root)
    ranges = {f"{file.low:g} to {file.high:g}" for file in audit.files if file.status == "read"}
    below = {text.split("\n")[0] for text in texts(audit.plot.sheet()) if " to " in text}
    assert below & ranges
    assert {text for text in below if re.fullmatch(r"\d+ to \d+", text)} <= ranges


def test_the_network_sees_the_prepared_pixels(images: Path) -> None:
    audit = audited(images)
    names = list(audit.images.table["image"][:3])
    seen = audit.images.network_input(names)
    assert seen is not None
    assert seen.shape == (3, 256, 256, 3)
    assert seen.dtype == np.float32
    preprocessing, dataset = cv.Preprocessing(), audit.images.dataset
    selected = preprocessing.select_channels(dataset.read(names[1]))
    pixels = preprocessing.expand_channels(preprocessing.resize(selected))
    np.testing.assert_allclose(seen[1], pixels / np.float32(255), atol=1e-6)
    assert "256 × 256 pixels" in prose(audit.plot.sheet(view="network"))
    assert audit.images.intensity_range == (0.0, 255.0)


def test_one_split_and_the_number_of_images(images: Path) -> None:
    audit = audited(images)
    figure = audit.plot.sheet("train", images=2)
    assert sum(len(axes.images) for axes in figure.axes) == 6
    with pytest.raises(errors.ExperimentError, match="no split 'trainn'"):
        audit.plot.sheet("trainn")


def test_many_classes_are_cut_and_the_caption_says_so(tmp_path: Path) -> None:
    names = tuple(f"class {k:02}" for k in range(40))
    audit = cv.audit(SyntheticImages(names=names))
    figure = audit.plot.sheet(images=1)
    assert_nothing_is_clipped(figure)
    assert "The first 6 of 40 classes." in prose(figure)
    histograms = audit.plot.intensities(images=1)
    assert_nothing_is_clipped(histograms)
    assert "The first 12 of 40 classes." in prose(histograms)


def test_histograms_show_the_class_that_is_brighter(tmp_path: Path) -> None:
    for name, level in (("dark", 30), ("light", 150)):
        (tmp_path / name).mkdir()
        for k in range(6):
            pixels = np.random.default_rng(k).integers(level, level + 20, (16, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
    audit = cv.audit(cv.datasets.create("folder", path=tmp_path))
    steps = audit.plot.intensities().axes[0].patches
    means = []
    for step in steps:
        values, edges, _ = step.get_data()
        assert values.sum() == pytest.approx(1)
        means.append(float((values * (edges[1:] + edges[:-1]) / 2).sum()))
    np.testing.assert_allclose(means, [39.5, 159.5], atol=2)


def test_images_that_the_settings_cannot_prepare(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images")
    dataset = cv.datasets.create("folder", path=root)
    preprocessing = cv.Preprocessing(channels=(5,))
    audit = cv.audit(
        cv.Experiment(dataset=dataset, preprocessing=preprocessing), out=tmp_path / "audit"
    )
    assert (tmp_path / "audit" / "reports" / "sheet_acquired.png").is_file()
    assert not (tmp_path / "audit" / "reports" / "sheet_network.png").exists()
    with pytest.raises(errors.ExperimentError, match="nothing to draw"):
        audit.plot.sheet(view="network")


def test_no_image_can_be_read(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    audit = cv.audit(cv.datasets.create("folder", path=tmp_path / "images"), out=tmp_path / "out")
    page = (tmp_path / "out" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "No image can be read." in page
    assert "a/x.png" in page
    with pytest.raises(errors.ExperimentError, match="nothing to draw"):
        audit.plot.sheet()


def test_sheets_are_pictures_on_disk(images: Path, tmp_path: Path) -> None:
    audited(images, tmp_path / "audit")
    for name in ("sheet_acquired.png", "sheet_network.png", "intensities.png"):
        assert_is_a_picture(tmp_path / "audit" / "reports" / name)
