"""The audit: every file once, what splits share, and its warnings; to JSON and back."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import InMemory, noise, unreadable, write, write_folder

import cellvision as cv
from cellvision import errors
from cellvision.data.batch_confounding import BatchCounts
from cellvision.data.near_duplicates import NearDuplicate
from cellvision.data.prepared import prepare_data

NAMED = {"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2}


def audit(root: Path, **options: Any) -> dict[str, Any]:
    content = cv.audit(cv.datasets.create("folder", path=root, **options)).to_json()
    report: dict[str, Any] = json.loads(json.dumps(content))
    return report


def walked(root: Path) -> list[str]:
    return sorted(
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root)
        for name in names
    )


def test_the_contract(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 20, "b": 20})
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "b" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = audit(tmp_path)
    assert list(report) == [
        *("class_names", "counts", "group_column", "groups", "batch", "files", "leaks"),
        *("near_duplicates", "warnings"),
    ]
    assert report["class_names"] == ["a", "b"]
    assert list(report["counts"]) == ["train", "validation", "test"]
    assert sum(n for by_class in report["counts"].values() for n in by_class.values()) == 40
    assert report["group_column"] is None
    assert report["groups"] == {s: sum(c.values()) for s, c in report["counts"].items()}
    assert report["leaks"] == []
    keys = ["file", "status", "reason", "shape", "dtype", "bit_depth", "low", "high"]
    assert all(list(file) == [*keys, "saturated_fraction", "digest"] for file in report["files"])
    files = {file["file"]: file for file in report["files"]}
    assert files["a/notes.txt"]["status"] == "skipped"
    assert files["b/cut.png"]["status"] == "refused"
    assert files["b/cut.png"]["shape"] is None
    assert files["a/0.png"] == {
        "file": "a/0.png",
        "status": "read",
        "reason": "",
        "shape": [6, 5, 1],
        "dtype": "uint8",
        "bit_depth": 8,
        "low": noise(1).min(),
        "high": noise(1).max(),
        "saturated_fraction": np.mean(noise(1) == 255),
        "digest": cv.io.pixel_digest(noise(1)[..., np.newaxis]),
    }
    assert all(isinstance(warning, str) for warning in report["warnings"])


def test_groups(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 12, "b": 12})
    rows = "".join(f"{c}/{n}.png,w{c}{n // 2}\n" for c in "ab" for n in range(12))
    (tmp_path / "groups.csv").write_text("file,well\n" + rows)
    report = audit(tmp_path, group="well")
    assert report["group_column"] == "well"
    assert sum(report["groups"].values()) == 12
    assert sorted(file["file"] for file in report["files"]) == walked(tmp_path)


def test_every_file_is_listed_once(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 3, "b": 3, "c": 3})
    for name in (
        *(".DS_Store", "a/.DS_Store", "a/._0.png", "Thumbs.db", "b/desktop.ini", "README.md"),
        *("b/deep/er/x.png", "stray.png", "a/no_suffix", ".git/config", "c/.hidden.png"),
        *("b/Größe µ.txt", "a/x.PNG.tmp"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "empty.tif").write_bytes(b"")
    (tmp_path / "a" / "film.gif").write_bytes(b"GIF89a")
    (tmp_path / "a" / "to nowhere.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "linked.png").symlink_to(tmp_path / "b" / "0.png")
    (tmp_path / "empty folder").mkdir()
    report = audit(tmp_path, classes=["a", "b"])
    listed = [file["file"] for file in report["files"]]
    assert len(set(listed)) == len(listed)
    assert sorted(set(listed) - {"empty folder/"}) == walked(tmp_path)
    by_status = {file["file"]: (file["status"], file["reason"]) for file in report["files"]}
    assert by_status["b/empty.tif"] == (
        "refused",
        "the file is empty. Copy or export it again, or leave it out",
    )
    gif = "GIF images are not supported. Convert it to PNG or TIFF"
    assert by_status["a/film.gif"] == ("refused", gif)
    assert by_status["a/to nowhere.png"] == (
        "refused",
        f"it is a broken link to {tmp_path / 'nowhere.png'}. Restore what it leads to, or remove "
        "the link",
    )
    assert by_status["a/linked.png"][0] == "read"
    assert by_status["c/0.png"] == ("skipped", "class 'c' is not in dataset.classes")
    assert by_status["a/._0.png"][0] == "skipped"
    assert all(reason for status, reason in by_status.values() if status != "read")
    others = next(w for w in report["warnings"] if "were skipped" in w)
    phantoms = {
        ".DS_Store",
        "a/.DS_Store",
        "a/._0.png",
        "Thumbs.db",
        "b/desktop.ini",
        ".git/config",
        "c/.hidden.png",
        "empty folder/",
    }
    passed = [f for f, (s, reason) in by_status.items() if s == "skipped" and "class" not in reason]
    deeper = [
        f
        for f in by_status
        if by_status[f][1] in ("deeper than the class folders", "beside the class folders")
    ]
    assert others.startswith(f"{len(set(passed) - phantoms | set(deeper))} files")
    assert "'stray.png' (beside the class folders)" in others


def test_an_empty_class_folder_is_warned_of(tmp_path: Path) -> None:
    """Seen: a class was dropped, and only the list of files said so."""
    write_folder(tmp_path, {"a": 6, "b": 6})
    for name in ("DMSO", "masks", ".cache", "b/masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "treated").mkdir()
    (tmp_path / "treated" / ".DS_Store").write_bytes(b"x")

    def warned(**options: Any) -> list[str]:
        return [line for line in audit(tmp_path, **options)["warnings"] if "skipped" in line]

    assert warned() == [
        "Folders 'DMSO', 'treated' were skipped: no images, so the class is missing."
    ]
    (tmp_path / "treated" / ".DS_Store").unlink()
    (tmp_path / "treated").rmdir()
    assert warned() == ["Folder 'DMSO' was skipped: no images, so the class is missing."]
    assert warned(classes=["a", "b"]) == []
    dataset = cv.datasets.create("folder", path=tmp_path)
    experiment = cv.Experiment(dataset=dataset, preprocessing=cv.Preprocessing(size=(8, 8)))
    assert any("'DMSO' was skipped" in line for line in prepare_data(experiment).warnings)


@settings(max_examples=15)
@given(
    folder=st.sampled_from(["", "a", "b", "new", "a/deep", ".hidden", "b/x/y"]),
    name=st.sampled_from(["x", ".x", "._x", "Thumbs", "m µ", "groups", "-", "x.y"]),
    suffix=st.sampled_from(["", ".png", ".TIF", ".txt", ".db", ".csv.bak", ".gif", ".czi"]),
    content=st.sampled_from([b"", b"text", b"\x89PNG\r\n\x1a\n"]),
)
def test_a_file_dropped_anywhere_is_listed(
    folder: str, name: str, suffix: str, content: bytes
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = write_folder(Path(directory), {"a": 2, "b": 2})
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{name}{suffix}").write_bytes(content)
        listed = [file["file"] for file in audit(root)["files"]]
        # A folder without images, such as new/ with a hidden file, is listed as well.
        assert sorted(name for name in listed if not name.endswith("/")) == walked(root)


def test_a_group_in_two_splits(tmp_path: Path) -> None:
    write_folder(tmp_path, NAMED)
    rows = [
        f"{folder}/{n}.png,{folder}{n}" for folder, count in NAMED.items() for n in range(count)
    ]
    rows[0], rows[-1] = "train/a/0.png,shared", "test/b/1.png,shared"
    (tmp_path / "groups.csv").write_text("\n".join(["file,donor", *rows]))
    report = audit(tmp_path, group="donor")
    (leak,) = report["leaks"]
    assert leak["kind"] == "shared_group"
    assert sorted(leak["splits"]) == leak["splits"]
    assert set(leak["splits"]) <= {"train", "validation", "test"}
    assert sorted(leak["files"]) == ["test/b/1.png", "train/a/0.png"]
    assert audit(tmp_path)["leaks"] == []  # the setting does not name the donor


def test_identical_images_in_two_splits(tmp_path: Path) -> None:
    write_folder(tmp_path, NAMED)
    shutil.copy(tmp_path / "train/a/0.png", tmp_path / "test/a/copy.png")
    write(tmp_path / "test/a/again.tif", noise(1))  # the same pixels in another format
    report = audit(tmp_path)
    (leak,) = report["leaks"]
    assert leak["kind"] == "identical_pixels"
    assert sorted(leak["files"]) == ["test/a/again.tif", "test/a/copy.png", "train/a/0.png"]
    same = "'test/a/again.tif' = 'test/a/copy.png' = 'train/a/0.png'"
    assert f"2 images are identical to another one: {same}." in report["warnings"]


def test_identical_images_stay_on_one_side_of_our_own_split(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10, "b": 10})
    for number in range(5):
        shutil.copy(tmp_path / "a/0.png", tmp_path / f"a/copy {number}.png")
    assert audit(tmp_path)["leaks"] == []


def test_identical_images_of_two_classes(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 9, "b": 9})
    for number in range(8):
        shutil.copy(tmp_path / f"a/{number}.png", tmp_path / f"b/copy {number}.png")
    report = audit(tmp_path)
    torn = [w for w in report["warnings"] if "different labels" in w]
    first = "'a/0.png' = 'b/copy 0.png', 'a/1.png' = 'b/copy 1.png', 'a/2.png' = 'b/copy 2.png'"
    assert torn == [
        f"8 sets of identical images with different labels: {first} and 5 more sets. "
        "Remove those with the wrong label, or all of them."
    ]
    whole = f"8 images are identical to another one: {first} and 5 more sets."
    assert whole in report["warnings"]


def in_memory(pixels: dict[str, Any], **columns: Any) -> dict[str, Any]:
    labels = [image[0] for image in pixels]
    dataset = InMemory.of({"image": list(pixels), "label": labels, **columns}, pixels)
    return cv.audit(dataset).to_json()


def test_warnings_of_pixels() -> None:
    pixels: dict[str, Any] = {
        f"{c}{n}": noise(n + ord(c), (4, 4, 1)) for c in "ab" for n in "12345" for n in [int(n)]
    }
    pixels["a1"] = np.full((4, 4, 1), 9, np.uint8)
    pixels["a2"] = noise(0, (4, 4, 1)) | 255
    pixels["b1"] = noise(3, (4, 4, 1), np.uint16) // 2
    warnings = in_memory(pixels)["warnings"]
    assert [w for w in warnings if "pixel type" in w] == [
        "Images differ in pixel type (9 uint8, 1 uint16): no single factor can scale them."
    ]
    assert any(w.startswith("2 images have a single intensity: 'a1', 'a2'") for w in warnings)
    assert any("of samples are saturated: 'a2'" in w for w in warnings)


@pytest.mark.parametrize(
    ("what", "first", "second"),
    [
        ("image size", (4, 4, 1), (4, 5, 1)),
        ("number of channels", (4, 4, 1), (4, 4, 3)),
    ],
)
def test_image_property_that_reveals_the_class_is_reported(
    what: str, first: Any, second: Any
) -> None:
    pixels = {f"a{n}": noise(n, first) for n in range(5)}
    pixels |= {f"b{n}": noise(9 + n, second) for n in range(5)}
    content = f"The {what} alone reveals the class: no two classes share a value."
    assert content in in_memory(pixels)["warnings"]
    pixels["b0"] = noise(99, first)
    assert content not in in_memory(pixels)["warnings"]


def test_file_format_that_reveals_the_class_is_reported(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 5})
    write_folder(tmp_path, {"b": 5}, ".tif")
    assert any("file format alone reveals" in w for w in audit(tmp_path)["warnings"])
    no_suffixes = in_memory({f"{c}{n}": noise(n + ord(c), (4, 4, 1)) for c in "ab" for n in (1, 2)})
    assert not any("file format" in w for w in no_suffixes["warnings"])


def test_unreadable_images_count_in_no_split() -> None:
    pixels: dict[str, Any] = {f"{c}{n}": noise(n + ord(c), (4, 4, 1)) for c in "ab" for n in (1, 2)}
    report = in_memory({**pixels, "a3": unreadable("a3")}, split=["train"] * 5)
    assert sum(n for by_class in report["counts"].values() for n in by_class.values()) == 4
    assert "1 image cannot be read: 'a3'." in report["warnings"]
    nothing = in_memory({"a": unreadable("a"), "b": unreadable("b")})
    assert nothing["counts"] == {}
    assert "No image can be read." in nothing["warnings"]
    assert nothing["class_names"] == ["a", "b"]


def test_data_that_cannot_be_split_are_audited(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1, "b": 4})
    report = audit(tmp_path)
    assert report["counts"] == {"train": {"a": 1, "b": 4}}
    assert any(
        "cannot be split as requested: class 'a' has one image left" in w
        for w in report["warnings"]
    )


def test_a_class_that_a_split_lacks(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train/a": 4, "train/b": 4, "new day/a": 2})
    report = audit(tmp_path)
    assert report["counts"]["new day"] == {"a": 2, "b": 0}
    assert "Split 'new day' has no image of class 'b'." in report["warnings"]


def test_an_experiment_is_audited_with_its_own_split(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 10, "b": 10})
    dataset = cv.datasets.create("folder", path=tmp_path)
    experiment = cv.Experiment(dataset=dataset, split=cv.Split(test=0.5, validation=0))
    report = cv.audit(experiment)
    assert report.counts == {"train": {"a": 5, "b": 5}, "test": {"a": 5, "b": 5}}


@pytest.mark.parametrize("content", [{}, {"a": 3}])
def test_folders_without_problems(tmp_path: Path, content: dict[str, int]) -> None:
    write_folder(tmp_path, content)
    with pytest.raises(errors.InvalidInput):
        audit(tmp_path)


def batches(settings: dict[str, Any], **columns: Any) -> cv.Audit:
    labels = ["a", "b"] * 12
    images = [f"{label}{number}" for number, label in enumerate(labels)]
    wells = [f"w{number}" for number in range(24)]
    dataset = InMemory.of({"image": images, "label": labels, "well": wells, **columns}, **settings)
    return cv.audit(dataset)


def test_batches_are_counted_by_class() -> None:
    plate = ["P1" if n < 12 else ("P2" if n % 2 else "P3") for n in range(24)]
    report = batches({"group": "well", "batch": "plate"}, plate=plate)
    assert report.batch is not None
    assert report.batch.column == "plate"
    assert report.batch.counted == "groups"
    assert report.batch.counts == {
        "P1": {"a": 6, "b": 6},
        "P2": {"a": 0, "b": 6},
        "P3": {"a": 6, "b": 0},
    }
    assert report.batch.single_class == ("P2", "P3")
    said = next(w for w in report.warnings if "contain only one class" in w)
    assert said.startswith("2 of 3 batches (plate) contain only one class ('P2', 'P3')")
    assert "class cannot be told from plate" in said


def test_batches_identical_to_classes() -> None:
    report = batches({"batch": "day"}, day=["1", "2"] * 12)
    assert any(w.startswith("Every batch (day) contains only one class") for w in report.warnings)
    crossed = batches({"batch": "day"}, day=["1"] * 12 + ["2"] * 12)
    assert crossed.batch is not None
    assert crossed.batch.counted == "images"
    assert not any("one class" in w for w in crossed.warnings)
    assert batches({}).batch is None


def test_one_group_in_two_spellings_on_two_sides_is_a_leak() -> None:
    images = [f"{label}{n}" for n in range(6) for label in "ab"]
    wells = ["A01", "B01", "A02", "B02", "A03", "B03", "A04", "B04", "a1", "B5", "A6", "b 02"]
    columns = {
        "image": images,
        "label": [image[0] for image in images],
        "split": ["train"] * 8 + ["test"] * 4,
        "well": wells,
    }
    report = cv.audit(InMemory.of(columns, group="well"))
    leaks = [leak for leak in report.leaks if leak.kind == "shared_group"]
    shared = {frozenset(leak.files) for leak in leaks}
    assert frozenset({"a0", "a4"}) in shared
    assert frozenset({"b1", "b5"}) in shared
    assert any("'A01', 'a1'" in w for w in report.warnings)


def test_audits_read_back_equal(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train/a": 12, "train/b": 12, "test/a": 3, "test/b": 3})
    shutil.copy(tmp_path / "train/a/0.png", tmp_path / "test/a/copy.png")
    (tmp_path / "train" / "a" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "train" / "b" / "notes.txt").write_text("x")
    report = cv.audit(cv.datasets.create("folder", path=tmp_path))
    pair = NearDuplicate("test/a/1.png", "test", "train/a/2.png", "train", 0.125)
    counts = BatchCounts("plate", "groups", {"P1": {"a": 1, "b": 0}})
    whole = replace(report, near_duplicates=(pair,), batch=counts)
    assert whole.leaks
    plain = json.loads(json.dumps(whole.to_json()))
    assert plain["near_duplicates"] == [
        {
            "image": "test/a/1.png",
            "split": "test",
            "other": "train/a/2.png",
            "other_split": "train",
            "ratio": 0.125,
        }
    ]
    again = cv.Audit.from_json(plain)
    assert again == whole
    assert again.files == whole.files
    assert isinstance(again.files[0].shape, tuple)


def test_an_audit_without_its_keys_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="this is no audit: class_names"):
        cv.Audit.from_json({"counts": {}})


def test_a_short_repr(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 20, "b": 20})
    report = cv.audit(cv.datasets.create("folder", path=tmp_path))
    assert repr(report).startswith(
        "<Audit: 40 images of 2 classes in train/validation/test, groups unknown, 0 leaks"
    )
    assert len(repr(report)) < 200


def test_pixels_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    images = [f"{label}{n}" for n in range(10) for label in "ab"]
    pixels = {image: noise(number, (8, 8, 1)) for number, image in enumerate(images)}
    dataset = InMemory.of({"image": images, "label": [i[0] for i in images]}, pixels)
    experiment = cv.Experiment(dataset=dataset, preprocessing=cv.Preprocessing(size=(8, 8)))
    InMemory.decoded.clear()
    cv.audit(experiment)
    assert sorted(InMemory.decoded) == sorted(images)
    prepare_data(experiment)
    cv.audit(experiment)
    prepare_data(experiment.model_copy(update={"training": cv.Training(seed=1)}))
    assert len(InMemory.decoded) == len(images)


def test_unsuitable_images_are_audited() -> None:
    pixels: dict[str, Any] = {f"{c}{n}": noise(n + ord(c), (4, 4, 4)) for c in "ab" for n in (1, 2)}
    report = in_memory(pixels)
    assert [file["status"] for file in report["files"]] == ["read"] * 4
    assert any(
        w.startswith("These settings cannot prepare the images: ") for w in report["warnings"]
    )


def test_an_audit_needs_no_writable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "file"))
    write_folder(tmp_path / "images", {"a": 8, "b": 8})
    assert cv.audit(cv.datasets.create("folder", path=tmp_path / "images")).counts


def test_one_class_that_differs_from_the_others_is_named() -> None:
    pixels = {f"{c}{n}": noise(n + ord(c), (4, 4, 3)) for c in "ab" for n in range(5)}
    pixels |= {f"m{n}": noise(99 + n, (6, 5, 1)) for n in range(5)}
    said = in_memory(pixels)["warnings"]
    assert "The image size reveals class 'm': only its images have 6 × 5." in said
    assert "The number of channels reveals class 'm': only its images have 1." in said
    pixels["a0"] = noise(7, (6, 5, 1))
    assert not any("reveals" in warning for warning in in_memory(pixels)["warnings"])
