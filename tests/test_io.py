"""The public door for plugins: reading files and writing them whole; and the public names."""

from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors, io


def test_the_top_level_has_public_names_only() -> None:
    assert dir(cv) == sorted(cv.__all__)
    for name in cv.__all__:
        assert getattr(cv, name) is not None
    for name in ("read_image", "is_phantom", "IMAGE_SUFFIXES", "atomic_io"):
        assert name not in dir(cv)
    assert set(io.__all__) <= set(dir(io))
    with pytest.raises(AttributeError):
        cv.no_such_name  # noqa: B018 - the access is the test


def test_importing_is_light() -> None:
    program = (
        "import sys, json, cellvision;"
        "heavy = ('keras', 'tensorflow', 'pandas', 'numpy', 'pydantic');"
        "print(json.dumps([m for m in heavy if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "results.v1"
    with io.atomic_folder(target) as folder:
        (folder / "table.csv").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["table.csv"]
    assert [path.name for path in target.parent.iterdir()] == ["results.v1"]


@pytest.mark.parametrize("name", ["細" * 85, "x" * 255, "a." + "y" * 250, "µ" * 120 + ".csv"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    with io.atomic_path(tmp_path / name) as path:
        path.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def save_array(target: Path) -> None:
    with io.atomic_path(target) as path, path.open("wb") as file:
        np.save(file, np.zeros(40_000, np.uint8))


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits need POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"results\.csv"):
            io.write_text(tmp_path / "results.csv", "x" * 5000)
        with pytest.raises(OSError, match="page'"), io.atomic_folder(tmp_path / "page") as folder:
            (folder / "a.png").write_bytes(bytes(5000))
        with pytest.raises(OSError, match=r"\[Errno 28\] .*pixels\.npy") as caught:
            save_array(tmp_path / "pixels.npy")
        assert caught.value.errno == errno.ENOSPC
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with io.atomic_folder(tmp_path / "results") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "first").write_text("1")
    with pytest.raises(OSError), io.atomic_folder(tmp_path / "results") as folder:  # noqa: PT011
        (folder / "second").write_text("2")
    with io.atomic_folder(tmp_path / "results", exist_ok=True) as folder:
        (folder / "second").write_text("2")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with io.atomic_folder(tmp_path / "results") as folder:
        (folder / "first").write_text("1")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_files_appear_whole(tmp_path: Path) -> None:
    with io.atomic_path(tmp_path / "a.csv") as path:
        assert path.suffix == ".csv"
        path.write_text("1")
    assert io.write_text(tmp_path / "b.txt", "µ\n").read_bytes() == "µ\n".encode()

    def fail() -> None:
        with io.atomic_path(tmp_path / "a.csv") as path:
            path.write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a.csv").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.txt"]


def test_digests_identify_pixels_and_files(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    assert io.pixel_digest(pixels) == io.pixel_digest(np.asfortranarray(pixels))
    assert io.pixel_digest(pixels) != io.pixel_digest(pixels.reshape(3, 2, 4))
    assert io.pixel_digest(pixels) != io.pixel_digest(pixels.astype(np.int16))
    (tmp_path / "x").write_bytes(b"abc")
    assert io.file_digest(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_errors_are_also_those_of_python() -> None:
    error = errors.FolderError("there is no folder x", "Check the path")
    assert isinstance(error, OSError)
    assert isinstance(error, ValueError)
    assert isinstance(errors.ExperimentError("x"), ValueError)
    assert not isinstance(errors.LeakError("x"), ValueError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.what, again.hint) == (errors.FolderError, error.what, error.hint)
    assert str(again) == "there is no folder x\nCheck the path"
    assert error.args == ("there is no folder x", "Check the path")
    assert str(errors.FolderError("there is no folder x")) == "there is no folder x"
    with pytest.raises(ValueError, match="'folder'"):
        cv.datasets.create("foldr")


def test_errors_of_libraries_in_one_line() -> None:
    assert errors.first_line(ValueError("\n  bad shape  \nmore")) == "bad shape"
    assert errors.first_line(KeyError()) == "KeyError"
    assert errors.summarize(ValueError("bad\nmore")) == "ValueError: bad"
    assert errors.summarize(RuntimeError("")) == "RuntimeError"
