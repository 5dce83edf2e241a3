"""A class that differs from the others in a property of its files or pixels is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from images import noise
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.data.class_differences import class_difference_warnings
from cellvision.data.decoders.compression import compression_of
from cellvision.data.files import read_image
from cellvision.data.image_stats import ImageStats


def warnings(classes: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the warnings about images with these statistics."""
    import pandas as pd

    stats, rows = [], []
    for label, images in classes.items():
        for number, values in enumerate(images):
            image = f"{label}/{number}{values.get('suffix', '.png')}"
            known = {key: value for key, value in values.items() if key != "suffix"}
            stats.append(ImageStats(image, "read", "", **{"shape": (8, 8, 1), **known}))
            rows.append({"image": image, "label": label})
    table = pd.DataFrame(rows).assign(split="train", group=None, batch=None)
    return class_difference_warnings(Catalog(table, tuple(sorted(classes)), None), stats)


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def audit(root: Path) -> tuple[str, ...]:
    return cv.audit(cv.datasets.create("folder", path=root)).warnings


def test_a_folder_of_masks_beside_two_classes_is_named(tmp_path: Path) -> None:
    for number in range(6):
        for name in ("control", "treated"):
            save(tmp_path / name / f"{number}.png", noise(number + len(name), (12, 12)))
        save(tmp_path / "masks" / f"{number}.png", noise(number, (12, 12)) // 128 * 255)
    (said,) = [warning for warning in audit(tmp_path) if "of masks" in warning]
    assert "'masks' counts as a class, but is named like a folder of masks" in said
    assert "--set dataset.classes=[control,treated]" in said
    chosen = cv.datasets.create("folder", path=tmp_path, classes=("control", "treated"))
    assert not any("masks" in warning for warning in cv.audit(chosen).warnings)


@pytest.mark.parametrize("ending", ["_mask", "_cp_masks", "_Mask", "_seg"])
def test_masks_beside_their_images_are_named(tmp_path: Path, ending: str) -> None:
    for number in range(6):
        for name in ("control", "treated"):
            pixels = noise(number + len(name), (12, 12))
            save(tmp_path / name / f"s{number}.png", pixels)
            save(tmp_path / name / f"s{number}{ending}.png", pixels // 128 * 255)
    (said,) = [warning for warning in audit(tmp_path) if "named like the mask" in warning]
    assert said.startswith("12 images are named like the mask of another image: ")
    assert f"'control/s0{ending}.png'" in said
    assert "move them to another folder" in said


@pytest.mark.parametrize("of_mask", [((12, 12), np.uint16), ((12, 12, 2), np.uint8)])
def test_masks_that_cannot_be_trained_with_their_images_are_named(
    tmp_path: Path, of_mask: tuple[tuple[int, ...], Any]
) -> None:
    for number in range(6):
        for name in ("control", "treated"):
            seed = number + len(name)
            save(tmp_path / name / f"s{number}.png", noise(seed, (12, 12)))
            mask = noise(seed, *of_mask)
            tifffile.imwrite(tmp_path / name / f"s{number}_mask.tif", mask)
    with pytest.raises(errors.PreprocessingError) as caught:
        cv.train(tmp_path, out=tmp_path.parent / "run", progress=False)
    assert "differ in" in caught.value.what
    assert str(caught.value.hint).startswith("Move masks to another folder: '")
    assert "_mask.tif' is named like that of another image" in str(caught.value.hint)


def test_images_without_a_partner_are_no_masks(tmp_path: Path) -> None:
    for number in range(6):
        for name in ("control", "treated"):
            pixels = noise(number + len(name), (12, 12))
            save(tmp_path / name / f"s{number}_label.png", pixels)
    assert not any("named like the mask" in warning for warning in audit(tmp_path))


def test_masks_beside_ome_tiff_are_named(tmp_path: Path) -> None:
    for name in ("control", "treated"):
        (tmp_path / name).mkdir()
        for number in range(6):
            pixels = noise(number + len(name), (12, 12))
            tifffile.imwrite(tmp_path / name / f"s{number}.ome.tif", pixels)
            save(tmp_path / name / f"s{number}_masks.png", pixels // 128 * 255)
    assert any(warning.startswith("12 images are named like") for warning in audit(tmp_path))


def test_a_class_of_colour_pngs_among_grey_jpegs_is_named(tmp_path: Path) -> None:
    for number in range(5):
        for name in ("a", "b"):
            save(tmp_path / name / f"{number}.jpg", noise(number + ord(name), (12, 12)))
        save(tmp_path / "c" / f"{number}.png", noise(number, (12, 12, 3)))
    said = audit(tmp_path)
    assert "The number of channels reveals class 'c': only its images have 3." in said
    assert "The file format reveals class 'c': only its images have .png." in said
    assert not any("compression" in warning for warning in said)


def test_a_class_that_is_compressed_otherwise_is_named(tmp_path: Path) -> None:
    for number in range(3):
        for name, quality in (("a", 90), ("b", 90), ("c", 60)):
            pixels = noise(number + ord(name), (12, 12))
            save(tmp_path / name / f"{number}.jpg", pixels, quality=quality)
    said = audit(tmp_path)
    assert "The compression reveals class 'c': only its images have JPEG, quality 60." in said


@pytest.mark.parametrize(
    ("suffix", "options", "expected"),
    [
        (".jpg", {"quality": 95}, "JPEG, quality 95"),
        (".jpg", {"quality": 30}, "JPEG, quality 30"),
        (".png", {}, "PNG"),
        (".bmp", {}, "uncompressed"),
        (".webp", {"lossless": True}, "lossless WebP"),
        (".tif", {"compression": "tiff_lzw"}, "LZW"),
        (".tif", {}, "uncompressed"),
    ],
)
def test_compression_is_read_from_the_header(
    tmp_path: Path, suffix: str, options: dict[str, Any], expected: str
) -> None:
    path = tmp_path / f"a{suffix}"
    save(path, noise(0, (12, 12, 3)), **options)
    assert read_image(path).compression == expected


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_compression_of_every_form_of_tiff(tmp_path: Path, byteorder: Any, bigtiff: bool) -> None:
    path = tmp_path / "a.tif"
    options: Any = {"compression": "zlib", "byteorder": byteorder, "bigtiff": bigtiff}
    tifffile.imwrite(path, noise(0, (12, 12), np.uint16), **options)
    assert read_image(path).compression == "Deflate"


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WebP", "PNG", "other"])
@pytest.mark.parametrize("data", [b"", b"II*\0\xff", b"\xff\xd8\xff\xdb", b"\xff\xd8" * 9])
def test_damaged_headers_have_no_compression(tmp_path: Path, kind: str, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with (tmp_path / "x").open("rb") as file:
        assert isinstance(compression_of(file, kind), str)


def test_a_class_that_is_brighter_is_named() -> None:
    rng = np.random.default_rng(0)
    dim = [{"means": (value, 5.0)} for value in rng.normal(100, 5, 20)]
    bright = [{"means": (value, 5.0)} for value in rng.normal(150, 5, 20)]
    (said,) = warnings({"a": dim, "b": dim, "c": bright})
    assert said.startswith("The mean intensity of channel 0 alone tells class 'c' from the others")
    assert "in 100% of pairs, its image is the brighter one (median 1" in said
    (said,) = warnings({"a": dim, "b": bright})
    assert "tells class 'a' from 'b'" in said
    assert "the darker one" in said
    assert warnings({"a": dim, "b": bright[:7]}) == []  # too few to say
    assert warnings({"a": dim, "b": [{**each, "dtype": "uint16"} for each in bright]}) == []


def test_overlapping_intensities_are_not_reported() -> None:
    rng = np.random.default_rng(1)
    first = [{"means": (value,)} for value in rng.normal(100, 10, 50)]
    second = [{"means": (value,)} for value in rng.normal(110, 10, 50)]
    assert warnings({"a": first, "b": second}) == []


def test_a_few_exceptions_do_not_hide_a_class() -> None:
    eight, twelve = {"bit_depth": 8}, {"bit_depth": 12}
    classes = {"a": [eight] * 40, "b": [eight] * 40, "c": [twelve] * 39 + [eight]}
    (said,) = warnings(classes)
    assert said == (
        "The bit depth nearly reveals class 'c': 98% of its images have 12, and at most 0% of any "
        "other class."
    )
    classes["a"] = [eight] * 20 + [twelve] * 20
    assert warnings(classes) == []


def test_crops_of_the_size_of_each_cell_do_not_reveal_the_class_by_chance() -> None:
    def crops(sides: Sequence[int]) -> list[dict[str, Any]]:
        return [{"shape": (side, 100, 1)} for side in sides]

    odd, even = crops(range(21, 61, 2)), crops(range(20, 60, 2))
    assert warnings({"a": odd, "b": even}) == []
    (said,) = warnings({"a": odd, "b": crops(range(80, 120, 2))})
    assert said.startswith("The size alone tells class 'a' from 'b': in 100% of pairs")
