"""`prepare number`: copies and renaming in place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from prepare_folders import entangled, manifest, tree

from cellvision import errors, prepare

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")


def test_numbering_copies_bytes_in_natural_order(fields: Path, tmp_path: Path) -> None:
    before = tree(fields)
    table = prepare.number_images(fields, tmp_path / "out")
    assert tree(fields) == before
    assert list(table["file"]) == [
        "control/s0.tif",
        "control/s1.tif",
        "treated/s0.tif",
        "treated/s1.tif",
    ]
    assert list(table["source"])[2:] == ["treated/b9.tif", "treated/b10.tif"]
    after = tree(tmp_path / "out")
    assert all(
        after[file] == before[source]
        for file, source in zip(table["file"], table["source"], strict=True)
    )


def test_in_place_keeps_the_provenance_of_tiles(fields: Path, tmp_path: Path) -> None:
    tiles = tmp_path / "tiles"
    sliced = prepare.slice_images(fields, tiles, tiles=4)
    contents = tree(tiles)
    table = prepare.number_images(tiles, in_place=True)
    assert list(table["source"]) == list(sliced["file"])
    assert list(table["field"]) == list(sliced["field"])
    assert list(table["well"]) == list(sliced["well"])
    assert table["transformation"][1] == sliced["transformation"][1] + "; number 1"
    after = tree(tiles)
    assert all(
        after[new] == contents[old] for new, old in zip(table["file"], table["source"], strict=True)
    )
    assert set(after) == {*table["file"], "manifest.csv"}
    again = prepare.number_images(tiles, in_place=True)
    assert again.equals(table)
    with pytest.raises(errors.FolderError, match="not empty"):
        prepare.slice_images(fields, tiles, tiles=4)


def test_in_place_takes_groups_along(fields: Path) -> None:
    prepare.number_images(fields, in_place=True, prefix="img_", start=5)
    assert (fields / "groups.csv").read_text() == (
        "file,plate,well\ncontrol/img_5.tif,007,B02\ncontrol/img_6.tif,007,B03\n"
        "treated/img_6.tif,007,C02\ntreated/img_5.tif,007,C03\n"
    )
    rows = {row["file"]: row for row in manifest(fields)}
    assert rows["treated/img_6.tif"]["well"] == "C02"
    assert rows["treated/img_6.tif"]["field"] == "treated/b10"


@pytest.mark.parametrize("after", [False, True])
def test_numbering_in_place_is_finished_after_an_interruption_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    expected_folder = tmp_path / "expected"
    entangled(expected_folder)
    expected_table = prepare.number_images(expected_folder, in_place=True, start=1)
    expected = tree(expected_folder)
    assert list(expected_table["file"]) == [
        "c/s1.tif",
        "c/s2.png",
        "c/s3.png",
        "c/s4.png",
        "c/s5.png",
    ]

    def dying(call: Callable[..., object], left: list[int]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise KeyboardInterrupt
            result = call(*arguments, **options)
            if left[0] == 0:
                raise KeyboardInterrupt
            return result

        return wrapped

    steps = 0
    while True:
        steps += 1
        folder = tmp_path / f"run{steps}"
        entangled(folder)
        left = [steps]
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(os.replace, left))
            patch.setattr(Path, "rename", dying(Path.rename, left))
            patch.setattr(Path, "unlink", dying(Path.unlink, left))
            try:
                prepare.number_images(folder, in_place=True, start=1)
            except KeyboardInterrupt:
                pass
            else:
                break
        table = prepare.number_images(folder, in_place=True, start=1)
        assert table.equals(expected_table)
        assert tree(folder) == expected
        assert not (folder / ".number.json").exists()
    assert steps > 15


def test_in_place_overwrites_nothing(fields: Path) -> None:
    (fields / "control" / "s0.tif").mkdir()
    before = tree(fields)
    with pytest.raises(errors.FolderError, match="exists and is not one of the images"):
        prepare.number_images(fields, in_place=True)
    assert tree(fields) == before


def test_a_file_that_appears_while_numbering_is_not_overwritten(fields: Path) -> None:
    def intrude(done: int, total: int) -> None:
        if done == total // 2:
            (fields / "treated" / "s1.tif").write_bytes(b"somebody else's")

    with pytest.raises(errors.FolderError, match="appeared during the numbering"):
        prepare.number_images(fields, in_place=True, progress=intrude)
    assert (fields / "treated" / "s1.tif").read_bytes() == b"somebody else's"
    with pytest.raises(errors.FolderError, match="was interrupted here"):
        prepare.slice_images(fields, fields.parent / "tiles", tiles=4)
    with pytest.raises(errors.FolderError, match="was interrupted here"):
        prepare.number_images(fields, in_place=True, prefix="other")
    (fields / "treated" / "s1.tif").unlink()
    assert len(prepare.number_images(fields, in_place=True)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a new folder or in-place"),
        ({"out": "out", "in_place": True}, "either a new folder or in-place"),
        ({"in_place": True, "prefix": "a/b"}, "cannot begin a file name"),
        ({"in_place": True, "prefix": "."}, "cannot begin a file name"),
        ({"in_place": True, "prefix": "a\u202eb"}, "cannot begin a file name"),
        ({"in_place": True, "prefix": "\udcff"}, "cannot begin a file name"),
        ({"in_place": True, "start": -1}, "start is -1"),
    ],
)
def test_invalid_series_are_refused(fields: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.number_images(fields, **options)


def test_names_in_any_script_are_ordered(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["b10.png", "b9.png", "٣.png", "10.png", "9.png", "²3.png", "B2.png", "a b.png"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    table = prepare.number_images(folder, tmp_path / "out")
    assert list(table["source"])[:6] == [
        "9.png",
        "10.png",
        "a b.png",
        "B2.png",
        "b9.png",
        "b10.png",
    ]
    assert sorted(table["source"]) == sorted(names)


def test_in_place_with_rows_that_have_no_image(fields: Path) -> None:
    (fields / "control" / "a1.tif").unlink()
    with pytest.raises(errors.InvalidInput, match=r"without an image, first: control/a1.tif"):
        prepare.number_images(fields, in_place=True)
