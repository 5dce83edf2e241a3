"""The data set `folder`: layouts, provenance tables, and every file accounted for."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cellvision_datasets.folder import Folder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cellvision as cv
from cellvision import errors, prepare
from cellvision.data.catalog import Catalog
from cellvision.data.file_search import walk_files
from cellvision.io import natural_order
from cellvision.testing import write_images


def put(folder: Path, *names: str, value: int = 7) -> Path:
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 5), value, np.uint8)
        if target.suffix in (".tif", ".tiff"):
            tifffile.imwrite(target, pixels)
        else:
            Image.fromarray(pixels).save(target, format="PNG")
    return folder


def rows(folder: Path, **settings: object) -> list[dict[str, object]]:
    return Folder(path=folder, **settings).catalog().to_dict("records")


def passed(folder: Path) -> dict[str, tuple[str, bool]]:
    listed = Folder(path=folder).skipped_files()
    assert len({over.file for over in listed}) == len(listed)
    return {over.file: (over.reason, over.expected) for over in listed}


def groups(folder: Path, text: str, name: str = "groups.csv") -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


# --- layouts -----------------------------------------------------------------------------


def test_classes_in_natural_order(tmp_path: Path) -> None:
    put(tmp_path, "b/s10.png", "b/s2.png", "a/s1.tif")
    assert rows(tmp_path) == [
        {"image": "a/s1.tif", "label": "a"},
        {"image": "b/s2.png", "label": "b"},
        {"image": "b/s10.png", "label": "b"},
    ]


def test_splits_keep_their_names(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "second plate/a/1.png")
    catalog = Folder(path=tmp_path).catalog()
    assert list(catalog["split"]) == ["second plate", "train", "train"]
    assert list(catalog["label"]) == ["a", "a", "b"]


def test_read_keeps_dtype_and_shape(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    deep = np.arange(24, dtype=np.uint16).reshape(2, 3, 4) * 1000
    tifffile.imwrite(tmp_path / "a/two.tif", deep, photometric="minisblack")
    data = Folder(path=tmp_path)
    assert np.array_equal(data.read("a/two.tif"), np.moveaxis(deep, 0, 2))
    assert data.read("a/two.tif").dtype == np.uint16
    assert data.decode("a/1.png").bit_depth == 8


def test_mono_is_luma_in_the_native_dtype(tmp_path: Path) -> None:
    put(tmp_path, "b/1.png")
    red = np.zeros((3, 3, 3), np.uint8)
    red[..., 0] = 200
    (tmp_path / "a").mkdir()
    Image.fromarray(red).save(tmp_path / "a/red.png")
    tifffile.imwrite(
        tmp_path / "a/two.tif", np.zeros((2, 3, 3), np.uint16), photometric="minisblack"
    )
    colour, mono = Folder(path=tmp_path), Folder(path=tmp_path, mono=True)
    assert np.array_equal(mono.read("a/red.png"), np.full((3, 3, 1), 60, np.uint8))
    assert np.array_equal(mono.read("b/1.png"), colour.read("b/1.png"))
    assert mono.fingerprint("a/red.png") != colour.fingerprint("a/red.png")
    with pytest.raises(errors.UnreadableImage, match="2 channels"):
        mono.read("a/two.tif")


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    put(tmp_path, "b/2.png", value=8)
    data = Folder(path=tmp_path)
    assert data.fingerprint("a/1.png") == data.fingerprint("b/1.png")
    assert data.fingerprint("a/1.png") != data.fingerprint("b/2.png")
    with pytest.raises(errors.UnreadableImage, match=r"b/3\.png"):
        data.fingerprint("b/3.png")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["1.png", "2.png"], "not in class folders"),
        (["a/b/c/1.png"], "too deep"),
        (["train/1.png", "test/1.png"], "no class folders"),
        (["a/1.png", "b/sub/1.png"], "two layouts"),
        (["a/notes.txt"], r"contains no images, but 1 file: \.txt"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        if name.endswith(".txt"):
            groups(tmp_path, "hello", name)
        else:
            put(tmp_path, name)
    with pytest.raises(errors.FolderError, match=says) as caught:
        Folder(path=tmp_path).catalog()
    assert caught.value.hint


def test_a_folder_without_images_says_what_it_contains(tmp_path: Path) -> None:
    for name in ("a/1.npy", "b/2.npy", "b/README"):
        groups(tmp_path, "", name)
    with pytest.raises(errors.FolderError, match=r"but 3 files: \.npy, no suffix"):
        Folder(path=tmp_path).catalog()
    groups(tmp_path, "", "t10k-images-idx3-ubyte.gz")
    with pytest.raises(errors.FolderError) as caught:
        Folder(path=tmp_path).catalog()
    assert f"dataset.type=fashion_mnist --set dataset.path={tmp_path}" in caught.value.hint


def test_missing_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match="absent: there is no such folder"):
        Folder(path=tmp_path / "absent").catalog()
    put(tmp_path, "1.png")
    with pytest.raises(errors.FolderError, match="is a file"):
        Folder(path=tmp_path / "1.png").catalog()


@pytest.mark.parametrize(
    "names", [["a/1.png", "b/1.png", "a/sub/1.png"], ["a/1.png", "b/1.png", "a/x/y/1.png"]]
)
def test_images_deeper_than_the_classes_are_reported(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, *names)
    assert [row["image"] for row in rows(tmp_path)] == ["a/1.png", "b/1.png"]
    assert passed(tmp_path) == {names[2]: ("deeper than the class folders", False)}


@pytest.mark.parametrize("folders", [("masks", "masks"), ("masks", "Masks")])
def test_more_masks_than_images_are_no_class(tmp_path: Path, folders: tuple[str, str]) -> None:
    images = [f"{name}/{number}.png" for name in "ab" for number in (1, 2)]
    masks = [
        f"{name}/{folder}/{number}.png"
        for name, folder in zip("ab", folders, strict=True)
        for number in range(5)
    ]
    put(tmp_path, *images, *masks)
    assert [(row["image"], row["label"]) for row in rows(tmp_path)] == [(i, i[0]) for i in images]
    assert passed(tmp_path) == dict.fromkeys(masks, ("deeper than the class folders", False))


def test_two_kinds_of_subfolders_may_be_classes(tmp_path: Path) -> None:
    classes = [f"{plate}/{name}/{n}.png" for plate in "pq" for name in "ab" for n in range(3)]
    put(tmp_path, "p/overview.png", "q/overview.png", *classes)
    with pytest.raises(errors.FolderError, match="either level may be the classes"):
        Folder(path=tmp_path).catalog()


def test_images_beside_the_classes_are_reported(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "train/overview.png", "plate.png")
    assert len(rows(tmp_path)) == 2
    beside = ("beside the class folders", False)
    assert passed(tmp_path) == {"train/overview.png": beside, "plate.png": beside}


# --- every file once ---------------------------------------------------------------------


def test_every_file_is_in_the_catalog_or_skipped(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "a/plain", "b/odd.bak")
    groups(tmp_path, "GIF89a...", "a/film.gif")
    groups(tmp_path, "<svg/>", "b/drawing.svg")
    groups(tmp_path, "", "b/empty.tif")
    for name in ("a/.DS_Store", "a/._1.png", "Thumbs.db", "a/notes.txt", "SOURCE.md", ".git/HEAD"):
        groups(tmp_path, "text", name)
    groups(tmp_path, "", "b/nothing")
    (tmp_path / "c").mkdir()
    listed = {str(row["image"]) for row in rows(tmp_path)}
    over = passed(tmp_path)
    images = {"a/1.png", "b/1.png", "a/plain", "b/odd.bak", "a/film.gif", "b/drawing.svg"}
    assert listed == images | {"b/empty.tif"}
    assert over == {
        "a/.DS_Store": ("hidden, or left by the operating system", True),
        "a/._1.png": ("hidden, or left by the operating system", True),
        "Thumbs.db": ("hidden, or left by the operating system", True),
        ".git/HEAD": ("in a folder that is hidden or of the operating system", True),
        "a/notes.txt": ("not an image: .txt", False),
        "SOURCE.md": ("not an image: .md", False),
        "b/nothing": ("not an image: no suffix", False),
        "c/": ("no images, so the class is missing", False),
    }
    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert on_disk == listed | (set(over) - {"c/"})


def test_a_class_or_split_without_images_is_missing(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png")
    for name in ("train/c", "train/b/masks", "test/a", ".hidden/d", "train/@eaDir"):
        (tmp_path / name).mkdir(parents=True)
    groups(tmp_path, "", "train/c/.DS_Store")
    groups(tmp_path, "text", "notes/read.me")
    over = passed(tmp_path)
    assert {name: why for name, (why, expected) in over.items() if not expected} == {
        "train/c/": "no images, so the class is missing from the split 'train'",
        "test/": "no images, so the split is missing",
        "test/a/": "no images, so the class is missing from the split 'test'",
        "notes/read.me": "not an image: .me",
    }
    assert {name for name, (_, expected) in over.items() if expected} == {
        *("train/b/masks/", ".hidden/d/", "train/c/.DS_Store", "train/@eaDir/"),
    }


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "lost+found"])
def test_folders_of_operating_systems_are_no_classes(tmp_path: Path, name: str) -> None:
    put(tmp_path, "a/1.png", "b/1.png", f"{name}/1.png", f"a/{name}/1.png", f"{name}/b/1.png")
    assert [row["image"] for row in rows(tmp_path)] == ["a/1.png", "b/1.png"]
    reason = ("in a folder that is hidden or of the operating system", True)
    assert passed(tmp_path) == dict.fromkeys(
        (f"{name}/1.png", f"a/{name}/1.png", f"{name}/b/1.png"), reason
    )


def test_unreadable_files_are_refused_when_read(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "b/plain")
    groups(tmp_path, "GIF89a...", "a/film.gif")
    groups(tmp_path, "", "b/empty.tif")
    data = Folder(path=tmp_path)
    assert data.read("b/plain").shape == (4, 5, 1)
    for image in ("a/film.gif", "b/empty.tif"):
        with pytest.raises(errors.UnreadableImage) as caught:
            data.decode(image)
        assert caught.value.file == image


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_links_are_followed_and_cycles_are_not(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside", "1.png")
    data = put(tmp_path / "data", "a/1.png")
    (data / "b").symlink_to(outside)
    (data / "a/loop").symlink_to(data)
    (data / "a/gone.tif").symlink_to(tmp_path / "nowhere")
    (data / "a/itself").symlink_to(data / "a/itself")
    assert [row["image"] for row in rows(data)] == ["a/1.png", "a/gone.tif", "b/1.png"]
    assert passed(data) == {
        "a/loop": ("a link back to a folder above it", False),
        "a/itself": ("a broken link", False),
    }
    with pytest.raises(errors.UnreadableImage):
        Folder(path=data).fingerprint("a/gone.tif")


def test_links_among_folders_do_not_multiply(tmp_path: Path) -> None:
    """Ten folders that all link to each other have ten million paths."""
    names = [f"c{number}" for number in range(10)]
    for name in names:
        put(tmp_path, f"{name}/1.png")
        (tmp_path / name / "more").mkdir()
        for other in names:
            (tmp_path / name / "more" / f"to {other}").symlink_to(tmp_path / other)
    images = [row["image"] for row in rows(tmp_path)]
    assert images == [f"{name}/1.png" for name in names]
    reasons = [reason for reason, _ in passed(tmp_path).values()]
    assert "a link to a folder that is listed elsewhere" in reasons
    assert len(reasons) < 3000
    found = [path for path, is_image in walk_files(tmp_path) if is_image]
    assert {path.name for path in found} == {"1.png"}
    assert len(found) < 300
    assert len(prepare.sources.find_images(tmp_path).images) == len(found)


def test_very_deep_folders_are_not_searched(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 400)
    put(tmp_path, "a/1.png", "b/1.png", f"b/{deep}/1.png")
    assert [row["image"] for row in rows(tmp_path)] == ["a/1.png", "b/1.png"]
    assert [reason for reason, _ in passed(tmp_path).values()] == ["nested too deeply"]
    assert len(list(walk_files(tmp_path))) == 2
    assert len(prepare.sources.find_images(tmp_path).images) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_are_skipped(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    skipped = ("a/2.png", "groups.csv")
    for name in skipped:
        os.mkfifo(tmp_path / name)
    assert passed(tmp_path) == dict.fromkeys(skipped, ("not a regular file", False))
    with pytest.raises(errors.InvalidInput, match=r"groups\.csv is not a regular file"):
        prepare.number_images(tmp_path, tmp_path.parent / "out")


# --- provenance --------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return put(tmp_path, "a/1.png", "a/2.png", "b/3.png")


def test_groups_are_text_and_matched_in_any_spelling(two: Path) -> None:
    groups(two, "file,well\na\\1.png,01\n./a/2.png,1e3\n3.png,N1\nb/gone.png,x\n")
    assert [row["well"] for row in rows(two)] == ["01", "1e3", "N1"]
    assert passed(two)["groups.csv"] == (
        "provenance table (1 of its rows name no image of the folder)",
        False,
    )
    catalog = Catalog.of(Folder(path=two, group="well"))
    assert list(catalog.table["group"]) == ["01", "1e3", "N1"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_spreadsheets_of_other_countries(two: Path, delimiter: str) -> None:
    text = "\ufefffile,well\r\na/1.png,\r\na/2.png,B\r\nb/3.png,C\r\n".replace(",", delimiter)
    groups(two, text)
    catalog = Folder(path=two).catalog()
    assert list(catalog["well"].isna()) == [True, False, False]


def test_a_column_group_is_used_by_itself(two: Path) -> None:
    groups(two, "file,group\na/1.png,x\na/2.png,x\nb/3.png,y\n")
    catalog = Catalog.of(Folder(path=two))
    assert catalog.group_column == "group"
    assert list(catalog.table["group"]) == ["x", "x", "y"]


def test_columns_of_the_catalog_are_not_overwritten(two: Path) -> None:
    groups(two, "file,label,split,image\na/1.png,z,q,i\n")
    first = rows(two)[0]
    assert first["label"] == "a"
    assert (first["label_in_table"], first["split_in_table"]) == ("z", "q")
    assert first["image"] == "a/1.png"
    assert "split" not in first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("name,well\na/1.png,x\n", "no column 'file'.*name, well"),
        ("File;Well;Datum\na/1.png;x;1\n", "did you mean 'File'.*are: File, Well, Datum"),
        ("name\tWell\na/1.png\tx\n", "no column 'file'; its columns are: name, Well"),
        ("file,well,well\na/1.png,x,y\n", "column 'well' twice"),
        ("file,well\na/1.png\n", "line 2: 1 values for 2 columns"),
        ("file,well\n,x\n", "line 2: no file"),
        ("file,well\na/1.png,x\n1.png,y\n", "lines 2 and 3 both name a/1.png"),
        ("file,well\nelse/1.png,x\n", "none of its 1 rows"),
        ('file,well\na/1.png,"x\na/2.png,y\n', "line"),
    ],
)
def test_tables_that_cannot_be_used(two: Path, text: str, says: str) -> None:
    groups(two, text)
    with pytest.raises(errors.CatalogError, match=says) as caught:
        Folder(path=two).catalog()
    assert "groups.csv" in caught.value.what


def test_other_encodings_are_refused(two: Path) -> None:
    (two / "groups.csv").write_bytes("file,donor\na/1.png,Müller\n".encode("latin-1"))
    with pytest.raises(errors.CatalogError, match="not in UTF-8"):
        Folder(path=two).catalog()


def test_bare_names_must_be_unique(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    groups(tmp_path, "file,well\n1.png,x\n")
    with pytest.raises(errors.CatalogError, match=r"a/1\.png or b/1\.png"):
        Folder(path=tmp_path).catalog()


def test_manifest_and_groups_are_merged(two: Path) -> None:
    manifest = "file,source,field,transformation\n"
    manifest += "".join(f"{n},s.tif,f{n[0]},rotate\n" for n in ("a/1.png", "a/2.png", "b/3.png"))
    groups(two, manifest, "manifest.csv")
    groups(two, "file,well\na/1.png,x\na/2.png,x\nb/3.png,y\n")
    catalog = Folder(path=two).catalog()
    assert list(catalog["group"]) == list(catalog["field"]) == ["fa", "fa", "fb"]
    assert list(Catalog.of(Folder(path=two, group="well")).table["group"]) == ["x", "x", "y"]
    groups(two, "file,field\na/1.png,other\n")
    with pytest.raises(
        errors.CatalogError, match=r"'other' in groups\.csv and 'fa' in manifest\.csv"
    ):
        Folder(path=two).catalog()


def test_an_image_without_field_is_refused(two: Path) -> None:
    groups(two, "file,source,field,transformation\na/1.png,s,f,t\n", "manifest.csv")
    with pytest.raises(errors.CatalogError, match=r"field of 2 of its images, first: a/2\.png"):
        Folder(path=two).catalog()


def test_tiles_of_one_field_stay_together(tmp_path: Path) -> None:
    """Every class and split sliced by itself: equal names of fields are not equal fields."""
    source = put(tmp_path / "source", "field0.tif", "field1.tif")
    for name in ("train/a", "train/b", "test/a", "test/b"):
        prepare.slice_images(source, tmp_path / "data" / name, tiles=4)
    catalog = Folder(path=tmp_path / "data").catalog()
    assert len(catalog) == 4 * 2 * 4
    assert set(catalog.groupby("group")["image"].count()) == {4}
    assert "train/a/field0" in set(catalog["group"])
    over = passed(tmp_path / "data")
    assert sum(reason == "provenance table" for reason, _ in over.values()) == 4


def test_a_part_of_a_prepared_folder_goes_by_the_manifest_above(tmp_path: Path) -> None:
    source = put(tmp_path / "source", *(f"plate1/{c}/field{k}.tif" for c in "ab" for k in "01"))
    prepare.slice_images(source, tmp_path / "tiles", tiles=4)
    catalog = Folder(path=tmp_path / "tiles" / "plate1").catalog()
    assert set(catalog["group"]) == {f"plate1/{c}/field{k}" for c in "ab" for k in "01"}
    assert set(catalog.groupby("group")["image"].count()) == {4}
    (tmp_path / "tiles" / "manifest.csv").write_text("name\nnot a table of files\n")
    assert "group" not in Folder(path=tmp_path / "tiles" / "plate1").catalog()


def test_a_foreign_work_record_is_refused(two: Path) -> None:
    groups(two, "{}\n", "a/.prepare.jsonl")
    with pytest.raises(errors.FolderError, match="not a record that 'cellvision prepare' wrote"):
        Folder(path=two).catalog()


@given(st.lists(st.integers(0, 10**6)), st.text("aB_-."), st.text("aB_-."))
def test_natural_order_counts(numbers: list[int], before: str, after: str) -> None:
    names = [f"{before}{number}{after}" for number in numbers]
    ordered = [f"{before}{number}{after}" for number in sorted(numbers)]
    assert sorted(names, key=natural_order) == ordered


@given(st.lists(st.text(), unique=True))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    assert sorted(names, key=natural_order) == sorted(set(names), key=natural_order)


# --- as a component ----------------------------------------------------------------------


def test_it_pickles_and_compares(two: Path) -> None:
    data = Folder(path=two, group=("plate", "well"))
    assert pickle.loads(pickle.dumps(data)) == data


def test_importing_it_is_light() -> None:
    code = (
        "import sys, cellvision_datasets.folder as f; "
        "print([m for m in ('keras', 'pandas', 'tifffile', 'PIL') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_a_folder_is_scanned_once_for_an_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellvision_datasets import folder as module

    write_images(tmp_path, ("a", "b"), count=4)
    scans: list[Path] = []
    scan = module.find_files
    monkeypatch.setattr(module, "find_files", lambda root: scans.append(root) or scan(root))
    dataset = cv.datasets.create("folder", path=tmp_path)
    cv.audit(dataset)
    assert scans == [tmp_path]
    (tmp_path / "a" / "notes.txt").write_text("x")
    assert [file.file for file in dataset.skipped_files()] == ["a/notes.txt"]
    assert dataset == cv.datasets.create("folder", path=tmp_path)
