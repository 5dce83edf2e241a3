"""The walk through folders that data sets, preparation and prediction share."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from cellvision import errors, io


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def names(root: Path) -> list[str]:
    return [found.name for found in io.walk_folder(root)]


def test_files_come_in_natural_order_folder_by_folder(tmp_path: Path) -> None:
    put(tmp_path, "s10.tif", "s2.tif", "b/1.tif", "B10/1.tif", "b9/1.tif")
    assert names(tmp_path) == ["b/1.tif", "b9/1.tif", "B10/1.tif", "s2.tif", "s10.tif"]
    by_letter = [found.name for found in io.walk_folder(tmp_path, order=str)]
    assert by_letter == ["B10/1.tif", "b/1.tif", "b9/1.tif", "s10.tif", "s2.tif"]


def test_a_folder_can_count_as_one_file(tmp_path: Path) -> None:
    put(tmp_path, "a/cells.zarr/0/0", "a/1.tif")
    walk = io.walk_folder(tmp_path, enter=lambda entry: not entry.name.endswith(".zarr"))
    store, image = sorted(walk, key=lambda found: found.name, reverse=True)
    assert (store.name, store.path) == ("a/cells.zarr", tmp_path / "a/cells.zarr")
    assert (store.is_file, store.reason) == (False, "")
    assert (image.parts, image.is_file, image.is_link) == (("a", "1.tif"), True, False)


def test_empty_folders_are_reported(tmp_path: Path) -> None:
    assert names(tmp_path) == []
    (tmp_path / "a/b").mkdir(parents=True)
    (empty,) = io.walk_folder(tmp_path)
    assert (empty.name, empty.path, empty.is_empty_folder) == ("a/b/", tmp_path / "a/b", True)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_links_are_followed_and_the_walk_ends(tmp_path: Path) -> None:
    put(tmp_path / "outside", "1.tif")
    put(tmp_path / "data", "a/1.tif")
    (tmp_path / "data/b").symlink_to(tmp_path / "outside")
    (tmp_path / "data/a/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/a/itself").symlink_to(tmp_path / "data/a/itself")
    (tmp_path / "data/a/gone.tif").symlink_to(tmp_path / "nowhere")
    found = {each.name: each for each in io.walk_folder(tmp_path / "data")}
    assert set(found) == {"a/1.tif", "a/gone.tif", "a/itself", "a/up", "b/1.tif"}
    assert found["a/up"].reason == "a link back to a folder above it"
    assert not found["a/up"].is_empty_folder
    assert (found["b/1.tif"].is_file, found["b/1.tif"].is_link) == (True, False)
    for broken in ("a/itself", "a/gone.tif"):
        assert (found[broken].is_file, found[broken].is_link) == (False, True)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not Unicode")
def test_names_that_are_not_unicode_are_escaped(tmp_path: Path) -> None:
    put(tmp_path, "caf\udce9.tif")
    (found,) = io.walk_folder(tmp_path)
    assert found.name == "caf\\xe9.tif"
    assert found.path.is_file()


def test_a_folder_that_disappears_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a/1.tif", "b/1.tif")
    walk = io.walk_folder(tmp_path)
    next(walk)
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(errors.FolderError, match=r"cannot list .*b: No such file"):
        list(walk)
    with pytest.raises(errors.FolderError, match=r"cannot list .*gone"):
        list(io.walk_folder(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", True),
        (b"II*\0", True),
        (b"GIF89a", True),
        (b"P5 # a comment\n4 3 255\n", True),
        (b"BM of a text", False),
        (b"", False),
    ],
)
def test_images_are_recognised_by_their_first_bytes(
    tmp_path: Path, start: bytes, *, expected: bool
) -> None:
    (tmp_path / "plain").write_bytes(start)
    assert io.begins_like_an_image(tmp_path / "plain") is expected


def test_a_file_that_cannot_be_opened_is_no_image(tmp_path: Path) -> None:
    assert io.begins_like_an_image(tmp_path / "gone") is False
