"""The data set of microscope files: what becomes an image, and that pixels stay what they are."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.testing import DatasetChecks

pytest.importorskip("cellvision_bioio", reason="cellvision-bioio is not installed")
pytest.importorskip("bioio_ome_tiff", reason="bioio-ome-tiff is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STACK = np.arange(2 * 3 * 2 * 6 * 8, dtype=np.uint16).reshape(2, 3, 2, 6, 8)
"""Two time points, three planes, two channels, 6 × 8 pixels, every value once."""

CHANNELS_FIRST = STACK.swapaxes(1, 2)


def write_tiff(path: Path, pixels: np.ndarray = STACK, axes: str = "TZCYX", **extra: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, metadata={"axes": axes, **extra})
    return path


def write_zarr(path: Path, pixels: np.ndarray = CHANNELS_FIRST) -> Path:
    """Write OME-Zarr 0.4: axes t, c, z, y, x."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    array = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 1, 1, 6, 8))
    array[:] = pixels
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [
                {"name": name, "type": kind}
                for name, kind in zip(
                    "tczyx", ("time", "channel", "space", "space", "space"), strict=True
                )
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [1.0] * 5}],
                }
            ],
        }
    ]
    group.attrs["omero"] = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    names: dict[str, Any] = {"Channel": {"Name": ["DAPI", "GFP"]}}
    write_tiff(tmp_path / "control" / "a.ome.tif", SignificantBits=12, **names)
    write_tiff(tmp_path / "treated" / "b.ome.tif", STACK + 1, **names)
    return tmp_path


def bioio(root: Path, **settings: Any) -> cv.Dataset:
    dataset: cv.Dataset = cv.datasets.create("bioio", path=root, **settings)
    return dataset


@pytest.mark.exhaustive
class TestBioio(DatasetChecks):
    name = "bioio"

    def settings(self, folder: Path) -> dict[str, Any]:
        for seed, name in enumerate(("control", "treated")):
            pixels = np.random.default_rng(seed).integers(0, 4000, (6, 2, 8, 8), np.uint16)
            write_tiff(folder / name / "a.ome.tif", pixels, "TZYX")
        return {"path": folder}


# --- the catalog -------------------------------------------------------------------------


def test_every_time_point_is_an_image_and_the_file_is_the_unit(root: Path) -> None:
    table = bioio(root).catalog()
    assert list(table["image"]) == [
        f"{file}#scene=0,t={t}"
        for file in ("control/a.ome.tif", "treated/b.ome.tif")
        for t in (0, 1)
    ]
    assert list(table["label"]) == ["control", "control", "treated", "treated"]
    assert list(table["group"]) == list(table["file"])
    assert list(table["time"]) == [0, 1, 0, 1]
    assert set(table["channels"]) == {"DAPI, GFP"}
    assert Catalog.of(bioio(root)).group_column == "group"


def test_scenes_and_time_points_can_be_chosen(tmp_path: Path) -> None:
    for name in ("control", "treated"):
        (tmp_path / name).mkdir()
        with tifffile.TiffWriter(tmp_path / name / "a.ome.tif", ome=True) as file:
            file.write(STACK[:, 0, 0], metadata={"axes": "TYX", "Name": "first"})
            file.write(STACK[:, 1, :, :4], metadata={"axes": "TCYX", "Name": "second"})
    assert len(bioio(tmp_path).catalog()) == 8
    chosen = bioio(tmp_path, scenes=[1], t=[1])
    assert list(chosen.catalog()["image"]) == [
        f"{name}/a.ome.tif#scene=1,t=1" for name in ("control", "treated")
    ]
    pixels = chosen.read("control/a.ome.tif#scene=1,t=1")
    np.testing.assert_array_equal(pixels, np.moveaxis(STACK[1, 1, :, :4], 0, -1))


def test_splits_may_be_folders(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = tmp_path_factory.mktemp("splits")
    for split in ("train", "day 2"):
        for name in ("control", "treated"):
            write_tiff(whole / split / name / "a.ome.tif")
    table = bioio(whole, t=[0]).catalog()
    assert list(table["split"]) == ["day 2", "day 2", "train", "train"]
    write_tiff(whole / "train" / "b.ome.tif")
    assert len(bioio(whole, t=[0]).catalog()) == 4
    assert "train/b.ome.tif" in [other.file for other in bioio(whole).skipped_files()]
    write_tiff(whole / "c" / "a.ome.tif")
    with pytest.raises(errors.FolderError, match="two layouts"):
        bioio(whole).catalog()


@pytest.mark.parametrize("settings", [{"scenes": [1]}, {"t": [0, 2]}])
def test_missing_scenes_and_time_points_are_refused(root: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(errors.CatalogError, match=r"a\.ome\.tif has .* no (scene 1|time point 2)"):
        bioio(root, **settings).catalog()


def test_groups_csv_adds_columns(root: Path) -> None:
    (root / "groups.csv").write_text(
        "file,donor,label\ncontrol/a.ome.tif,D01,x\ntreated/b.ome.tif,,y\n"
    )
    table = bioio(root).catalog()
    assert list(table["donor"].fillna("unknown")) == ["D01", "D01", "unknown", "unknown"]
    assert list(table["label_in_table"]) == ["x", "x", "y", "y"]
    (skipped,) = bioio(root).skipped_files()
    assert (skipped.file, skipped.expected) == ("groups.csv", True)
    (root / "groups.csv").write_text("file,group\ncontrol/a.ome.tif,G1\ntreated/b.ome.tif,G1\n")
    assert set(bioio(root).catalog()["group"]) == {"G1"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name,donor\na,b\n", "no column 'file'"),
        ("file,donor\nelsewhere.tif,b\n", "none of its rows"),
        ("file,donor\ncontrol/a.ome.tif,1\ncontrol\\a.ome.tif,2\n", "twice"),
    ],
)
def test_a_groups_csv_that_cannot_be_used_is_refused(root: Path, text: str, what: str) -> None:
    (root / "groups.csv").write_text(text)
    with pytest.raises(errors.CatalogError, match=what):
        bioio(root).catalog()


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ([], "no microscope files"),
        (["a.ome.tif"], "not in class folders"),
        (["all/a/1.ome.tif", "all/b/1.ome.tif"], "contains only the folder 'all'"),
        (["a/p1/1.ome.tif", "b/p2/1.ome.tif"], r"the outer ones \(a, b\) look like classes"),
        (["x/a/p1/1.ome.tif"], "too deep"),
        (["train/a.ome.tif", "test/a.ome.tif"], "no class folders"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, files: list[str], what: str) -> None:
    for file in files:
        write_tiff(tmp_path / file)
    with pytest.raises(errors.FolderError, match=what):
        bioio(tmp_path).catalog()
    with pytest.raises(errors.FolderError, match="there is no such folder"):
        bioio(tmp_path / "absent").catalog()


def test_other_files_are_skipped_with_a_reason(root: Path) -> None:
    (root / "control" / "notes.txt").write_text("")
    (root / "control" / ".DS_Store").write_text("")
    write_tiff(root / "c.ome.tif")
    others = {other.file: (other.reason, other.expected) for other in bioio(root).skipped_files()}
    assert others == {
        "control/notes.txt": ("not a microscope file: .txt", False),
        "control/.DS_Store": ("hidden, or left by the operating system", True),
        "c.ome.tif": ("lies beside the classes, or deeper", False),
    }


# --- pixels ------------------------------------------------------------------------------


def test_pixels_are_native_and_channels_come_last(root: Path) -> None:
    decoded = bioio(root).decode("control/a.ome.tif#scene=0,t=1")
    assert decoded.pixels.dtype == np.uint16
    np.testing.assert_array_equal(decoded.pixels, np.moveaxis(STACK[1, 1], 0, -1))
    assert decoded.bit_depth == 12
    assert decoded.notes == ("plane 1 of 0 to 2", "channels: DAPI, GFP")


@pytest.mark.parametrize(
    ("z", "expected"), [(0, STACK[0, 0]), (2, STACK[0, 2]), ("max", STACK[0].max(axis=0))]
)
def test_a_plane_or_the_maximum_is_chosen(root: Path, z: int | str, expected: np.ndarray) -> None:
    pixels = bioio(root, z=z).read("control/a.ome.tif#scene=0,t=0")
    np.testing.assert_array_equal(pixels, np.moveaxis(expected, 0, -1))


def test_a_maximum_takes_every_plane_into_account(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 4000, (5, 6, 8), dtype=np.uint16)
    for name in ("control", "treated"):
        write_tiff(tmp_path / name / "a.ome.tif", stack, "ZYX")
    pixels = bioio(tmp_path, z="max").read("control/a.ome.tif#scene=0,t=0")
    np.testing.assert_array_equal(pixels[..., 0], stack.max(axis=0))


def test_only_the_requested_plane_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bioio_ome_tiff import Reader

    read: list[np.ndarray] = []
    real = Reader._get_image_data

    def counting(*args: Any, **kwargs: Any) -> np.ndarray:
        read.append(real(*args, **kwargs))
        return read[-1]

    monkeypatch.setattr(Reader, "_get_image_data", staticmethod(counting))
    bioio(root, z=2).read("treated/b.ome.tif#scene=0,t=0")
    assert sum(part.size for part in read) == 2 * 6 * 8  # one plane of two channels


def test_colours_are_channels(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    for name in ("control", "treated"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.ome.tif", colours, photometric="rgb")
    decoded = bioio(tmp_path).decode("control/a.ome.tif#scene=0,t=0")
    np.testing.assert_array_equal(decoded.pixels, colours)
    assert decoded.bit_depth == 8


def test_contradicted_bit_depth_is_ignored(tmp_path: Path) -> None:
    for name in ("control", "treated"):
        write_tiff(tmp_path / name / "a.ome.tif", STACK + 4096, SignificantBits=12)
    assert bioio(tmp_path).decode("control/a.ome.tif#scene=0,t=0").bit_depth == 16


def test_a_file_that_is_replaced_is_read_anew(root: Path) -> None:
    image = "control/a.ome.tif#scene=0,t=0"
    before = bioio(root).fingerprint(image)
    write_tiff(root / "control" / "a.ome.tif", np.vstack([STACK + 7, STACK]))
    np.testing.assert_array_equal(bioio(root).read(image), np.moveaxis(STACK[0, 1] + 7, 0, -1))
    assert bioio(root).fingerprint(image) != before


# --- what cannot be read -----------------------------------------------------------------


def test_a_damaged_file_is_listed_and_refused_by_itself(root: Path) -> None:
    (root / "control" / "bad.ome.tif").write_bytes(b"II*\0 this is no TIFF")
    tifffile.imwrite(root / "control" / "plain.tif", STACK[0, 0, 0])
    whole = bioio(root)
    assert len(whole.catalog()) == 6
    for name in ("bad.ome.tif", "plain.tif"):
        with pytest.raises(errors.UnreadableImage, match="not a readable OME-TIFF") as caught:
            whole.read(f"control/{name}")
        assert len(caught.value.what.splitlines()) == 1
    audit = cv.audit(cv.Experiment(dataset=whole))
    assert [file.file for file in audit.files if file.status == "refused"] == [
        "control/bad.ome.tif",
        "control/plain.tif",
    ]


def test_missing_plane_is_refused(root: Path) -> None:
    with pytest.raises(errors.UnreadableImage, match="number of planes is 3, so no plane 3"):
        bioio(root, z=3).read("control/a.ome.tif#scene=0,t=0")


@pytest.mark.parametrize(
    "image", ["no/such/image", "control/a.ome.tif", "control/a.ome.tif#scene=0,t=9"]
)
def test_an_unknown_image_is_refused(root: Path, image: str) -> None:
    with pytest.raises(errors.UnreadableImage):
        bioio(root).read(image)


def test_a_missing_reader_names_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "control" / "c.czi").write_bytes(b"ZISRAWFILE")
    monkeypatch.setitem(sys.modules, "bioio_czi", None)
    with pytest.raises(errors.InvalidInput, match="Zeiss CZI") as caught:
        bioio(root).catalog()
    assert caught.value.hint == 'python -m pip install "cellvision-bioio[czi]"'


@pytest.mark.parametrize(
    "settings", [{"z": -1}, {"z": "mean"}, {"scenes": []}, {"t": [-1]}, {"plane": 1}]
)
def test_wrong_settings_are_refused(root: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(errors.ExperimentError):
        bioio(root, **settings)


# --- other formats -----------------------------------------------------------------------


def test_ome_zarr_is_a_folder_and_one_file(tmp_path: Path) -> None:
    pytest.importorskip("bioio_ome_zarr", reason="cellvision-bioio[zarr] is not installed")
    for name in ("control", "treated"):
        write_zarr(tmp_path / name / "a.zarr")
    write_zarr(tmp_path / "control" / "without suffix")
    whole = bioio(tmp_path, z=2)
    table = whole.catalog()
    assert len(table) == 6
    assert set(table["channels"]) == {"DAPI, GFP"}
    for file in ("control/a.zarr", "control/without suffix"):
        pixels = whole.read(f"{file}#scene=0,t=1")
        np.testing.assert_array_equal(pixels, np.moveaxis(STACK[1, 2], 0, -1))
    assert whole.skipped_files() == []


def test_czi(tmp_path: Path) -> None:
    pytest.importorskip("bioio_czi", reason="cellvision-bioio[czi] is not installed")
    writer = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed")
    for name in ("control", "treated"):
        (tmp_path / name).mkdir()
        with writer.create_czi(str(tmp_path / name / "a.czi")) as file:
            for t, z, c in np.ndindex(2, 3, 2):
                plane = {"T": t, "Z": z, "C": c}
                file.write(STACK[t, z, c][..., np.newaxis], plane=plane, scene=0)
    whole = bioio(tmp_path, z=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(whole.catalog()["time"]) == [0, 1, 0, 1]
        pixels = whole.read("control/a.czi#scene=0,t=1")
    np.testing.assert_array_equal(pixels, np.moveaxis(STACK[1, 2], 0, -1))


@pytest.mark.parametrize("suffix", ["nd2", "lif"])
def test_a_damaged_file_of_another_format_is_refused(root: Path, suffix: str) -> None:
    pytest.importorskip(f"bioio_{suffix}", reason=f"cellvision-bioio[{suffix}] is not installed")
    (root / "control" / f"bad.{suffix}").write_bytes(b"no such thing" * 100)
    whole = bioio(root)
    assert f"control/bad.{suffix}" in list(whole.catalog()["image"])
    with pytest.raises(errors.UnreadableImage, match="not a readable"):
        whole.read(f"control/bad.{suffix}")
