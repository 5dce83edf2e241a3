"""What preprocessing does to images is said aloud: size, proportions, colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tifffile
from images import InMemory, noise

import cellvision as cv
from cellvision.cli import main
from cellvision.data.image_stats import ImageStats
from cellvision.data.prepared import prepare_data
from cellvision.data.preprocessing_warnings import preprocessing_warnings
from cellvision.interfaces.decoded_image import Note


def experiment(sizes: Sequence[tuple[int, int]], **settings: Any) -> cv.Experiment:
    """Return an experiment on grey images of these sizes, in turn of classes a and b."""
    images = [f"{'ab'[number % 2]}{number}" for number in range(len(sizes))]
    pixels = {
        image: noise(number, (*size, 1))
        for number, (image, size) in enumerate(zip(images, sizes, strict=True))
    }
    columns = {
        "image": images,
        "label": [image[0] for image in images],
        "split": [
            "train" if number < len(images) // 2 else "test" for number in range(len(images))
        ],
    }
    return cv.Experiment(
        dataset=InMemory.of(columns, pixels),
        preprocessing=cv.Preprocessing(**{"channels": "gray", **settings}),
        split=cv.Split(validation=0),
    )


KINDS = ("enlarged", "squashed", "differ in size", "three pages", "reduced")


def kinds(warnings: Sequence[str]) -> dict[str, str]:
    """Return the warnings of preprocessing by kind; fail if a kind has two lines."""
    by_kind: dict[str, str] = {}
    for warning in warnings:
        for kind in KINDS:
            if kind in warning:
                assert kind not in by_kind
                by_kind[kind] = warning
    return by_kind


@pytest.mark.parametrize(
    ("sizes", "settings", "expected"),
    [
        ([(40, 40)] * 12, {"size": (256, 256)}, {"enlarged"}),
        ([(40, 40)] * 12, {"size": (79, 79)}, set()),
        ([(40, 40)] * 12, {"size": (80, 80)}, {"enlarged"}),
        ([(40, 40)] * 12, {"size": (11, 11)}, set()),
        ([(40, 40)] * 12, {"size": (10, 10)}, {"reduced"}),
        ([(40, 40)] * 12, {"size": (10, 10), "fit": "crop"}, set()),
        ([(40, 40)] * 12, {"size": (256, 256), "fit": "pad"}, set()),
        ([(40, 42)] * 12, {"size": (40, 40)}, set()),
        ([(40, 44)] * 12, {"size": (40, 40)}, {"squashed"}),
        ([(40, 44)] * 12, {"size": (32, 32), "fit": "crop"}, set()),
        ([(40, 40)] * 6 + [(60, 60)] * 6, {"size": (32, 32)}, {"differ in size"}),
        ([(40, 40)] * 6 + [(60, 60)] * 6, {"size": (60, 60), "fit": "pad"}, set()),
        ([(40, 40)] * 6 + [(41, 41)] * 6, {"size": (32, 32)}, set()),
        ([(20, 20)] * 6 + [(20, 60)] * 6, {"size": (64, 64)}, set(KINDS[:3])),
    ],
)
def test_which_changes_are_worth_a_warning(
    sizes: list[tuple[int, int]], settings: dict[str, Any], expected: set[str]
) -> None:
    stats = [
        ImageStats(f"{number}", "read", "", (*size, 1), "uint8")
        for number, size in enumerate(sizes)
    ]
    warnings = preprocessing_warnings(cv.Preprocessing(**settings), stats)
    assert set(kinds(warnings)) == expected


def test_a_bare_data_set_has_no_preprocessing_yet() -> None:
    dataset = experiment([(4, 4)] * 4).dataset
    assert not kinds(cv.audit(dataset).warnings)


def test_counts_and_sizes_are_given() -> None:
    sizes = [(40, 40)] * 9 + [(20, 20)] * 2 + [(40, 80)]
    described = experiment(sizes, size=(80, 80))
    warnings = kinds(cv.audit(described).warnings)
    # A training says the same: these warnings go into run.json.
    assert kinds(prepare_data(described).warnings) == warnings
    assert warnings["enlarged"].startswith("11 images are enlarged for the network, such as")
    assert "from 20 × 20 to 80 × 80 pixels" in warnings["enlarged"]
    assert warnings["squashed"].startswith("1 image is squashed, such as 'b11' from 40 × 80 to")
    assert "(20 × 20 to 40 × 80 pixels)" in warnings["differ in size"]
    assert "3 of 12 images" in warnings["differ in size"]
    assert "preprocessing.fit to pad or crop" in warnings["differ in size"]
    fields = kinds(cv.audit(experiment([(100, 100)] * 3 + [(40, 40)], size=(20, 20))).warnings)
    assert fields["reduced"].startswith("3 images are reduced 4-fold or more for the network")
    assert "from 100 × 100 to 20 × 20 pixels: what is smaller than 5 pixels" in fields["reduced"]


def run(words: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert not ended.value.code


def lines(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_the_terminal_says_that_pages_became_colours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        path = tmp_path / "pages" / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, noise(number, (3, 16, 16)), photometric="minisblack")
    run(["audit", str(tmp_path / "pages")])
    said = lines(capsys.readouterr().out)
    assert said.count("12 images have three pages") == 1
    assert "which are taken as red, green and blue" in said
    assert "preprocessing.channels=[0,1,2]" in said
    chosen = ["--set", "preprocessing.channels=[0,1,2]"]
    run(["audit", str(tmp_path / "pages"), *chosen])
    assert "red, green and blue" not in lines(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("channels", "use"),
    [
        ("rgb", "which are taken as red, green and blue"),
        ("gray", "which are combined into one channel like red, green and blue"),
        ((0, 1, 2), None),
    ],
)
def test_three_pages_are_told_from_colours(channels: Any, use: str | None) -> None:
    note = Note("3 pages read as 3 channels", "pages_as_channels")
    pages = ImageStats("a.tif", "read", str(note), (64, 64, 3), "uint8", notes=(note,))
    coloured = ImageStats("b.png", "read", "", (64, 64, 3), "uint8")
    preprocessing = cv.Preprocessing(size=(64, 64), channels=channels)
    assert preprocessing_warnings(preprocessing, [coloured]) == []
    warnings = preprocessing_warnings(preprocessing, [pages, coloured])
    assert [use in warning for warning in warnings if use] == ([True] if use else [])
    assert len(warnings) == (use is not None)


def test_channels_that_come_from_other_axes_are_named(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        shape = (2, 3) if number < 4 else (3, 2)
        pixels = noise(number, (*shape, 16, 16))
        metadata = {"axes": "ZCYX"}
        tifffile.imwrite(path, pixels, metadata=metadata, ome=number == 5, photometric="minisblack")
    expected = (
        "Images with 6 channels differ in the axes that these come from: 8 ZC 3x2 (such as "
        "'a/4.tif'), 4 ZC 2x3 (such as 'a/0.tif')."
    )
    warnings = cv.audit(cv.datasets.create("folder", path=tmp_path)).warnings
    assert [warning.startswith(expected) for warning in warnings if "axes that" in warning] == [
        True
    ]
    for number in range(4):
        (tmp_path / "ab"[number % 2] / f"{number}.tif").unlink()
    warnings = cv.audit(cv.datasets.create("folder", path=tmp_path)).warnings
    assert not any("axes that" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("means", "channels", "expected"),
    [
        ([(9.0, 3.0, 0.0)] * 3, "rgb", "numbered from 0, 2 is 0 in all images"),
        ([(0.0, 3.0, 0.0)] * 3, "rgb", "0 and 2 are 0 in all images"),
        ([(9.0, 3.0, 0.0)] * 3, (2, 1), "set preprocessing.channels=[1]"),
        ([(9.0, 3.0, 0.0)] * 3, (0, 1), None),
        ([(9.0, 3.0, 0.0)] * 3, "gray", None),
        ([(9.0, 3.0, 0.0), (9.0, 3.0, 0.1)], "rgb", None),
        ([(0.0, 0.0, 0.0)] * 3, "rgb", None),
        ([(9.0,), (9.0, 3.0, 0.0)], "rgb", None),
    ],
)
def test_a_channel_without_signal_is_named(
    means: list[tuple[float, ...]], channels: Any, expected: str | None
) -> None:
    stats = [
        ImageStats(str(n), "read", "", (64, 64, len(m)), "uint8", means=m)
        for n, m in enumerate(means)
    ]
    settings = cv.Preprocessing(size=(64, 64), channels=channels)
    said = " ".join(preprocessing_warnings(settings, stats))
    assert (expected or "") in said
    assert bool(said) == (expected is not None)
    signed = [replace(stat, dtype="int16") for stat in stats]
    assert preprocessing_warnings(settings, signed) == []
