"""Results at an address: what was not uploaded stays here, and what was removed here goes there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tiny
from fsspec.implementations.memory import MemoryFileSystem

import cellvision as cv
from cellvision import errors, remote

ADDRESS = "memory://bucket/run"


@pytest.fixture(autouse=True)
def _empty_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield
    MemoryFileSystem.store.clear()


def write(**files: str) -> Path:
    """Write results to the address, in files of these names and contents."""
    with remote.results(ADDRESS) as folder:
        (folder / "reports").mkdir(exist_ok=True)
        for name, text in {"run": "{}", **files}.items():
            path = folder / ("run.json" if name == "run" else f"reports/{name}.txt")
            path.write_text(text)
        return folder


def opened() -> dict[str, str]:
    """What somebody who opens the address here reads, by name without its suffix."""
    with remote.finished(ADDRESS) as folder:
        return {path.stem: path.read_text() for path in folder.rglob("*") if path.is_file()}


def stored() -> list[str]:
    return [name.rpartition("/")[2] for name in sorted(fsspec.filesystem("memory").find("bucket"))]


def refused(monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    """Write results that cannot be uploaded."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", refuse)
        with pytest.raises(errors.CellvisionError, match="the complete results are in"):
            write(**files)


def test_results_that_were_not_uploaded_survive_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    write(page="old", table="old")
    refused(monkeypatch, page="new and longer", table="new")
    assert opened() == {"run": "{}", "page": "new and longer", "table": "new"}
    with remote.results(ADDRESS):
        pass
    assert fsspec.filesystem("memory").cat("/bucket/run/reports/page.txt") == b"new and longer"


def test_an_upload_that_broke_off_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(self: MemoryFileSystem, lpath: str, rpath: str, **_: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes()[:2])
        raise ConnectionResetError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", break_off)
        with pytest.raises(errors.CellvisionError, match="the line is dead"):
            write(page="whole")
    assert stored() == ["page.txt"]
    folder = write(page="whole")
    assert opened() == {"run": "{}", "page": "whole"}
    assert list(folder.parent.glob("replaced-*")) == []


def test_results_of_two_machines_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused(monkeypatch, page="of this machine", mine="more")
    with monkeypatch.context() as patch:
        patch.setenv("CELLVISION_CACHE", str(tmp_path / "elsewhere"))
        write(page="of another machine")
    assert opened() == {"run": "{}", "page": "of another machine"}
    (kept,) = tmp_path.glob("cache/remote/*/replaced-*")
    assert (kept / "reports" / "page.txt").read_text() == "of this machine"
    assert str(kept) in caplog.text


def test_a_report_that_was_removed_here_is_removed_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(page="a", stale="b", other="c")
    (folder / "model.keras").write_text("d")
    write()
    with remote.results(ADDRESS):
        (folder / "reports" / "stale.txt").unlink()
        (folder / "model.keras").unlink()  # a cleaner of old files, perhaps
    assert stored() == ["model.keras", "other.txt", "page.txt", "run.json"]
    assert opened() == {"run": "{}", "page": "a", "other": "c", "model": "d"}

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("nobody may remove files")

    monkeypatch.setattr(MemoryFileSystem, "rm_file", refuse)
    with remote.results(ADDRESS):
        (folder / "reports" / "other.txt").unlink()
    assert (
        "reports/other.txt cannot be removed: PermissionError: nobody may remove files"
        in caplog.text
    )
    assert opened()["other"] == "c"


def test_a_report_that_somebody_else_changed_is_not_removed() -> None:
    folder = write(page="a")
    with remote.results(ADDRESS):
        (folder / "reports" / "page.txt").unlink()
        fsspec.filesystem("memory").pipe_file("/bucket/run/reports/page.txt", b"theirs")
    assert opened()["page"] == "theirs"


@pytest.mark.parametrize("has_versions", [True, False])
@pytest.mark.parametrize("existed", [False, True])
def test_what_somebody_else_writes_during_a_training_is_not_overwritten(
    existed: bool, has_versions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_versions:  # as on some servers; another size shows the change
        monkeypatch.setattr("cellvision.remote.storage._CHANGE_MARKERS", ())
    if existed:
        write(page="old")
    storage = fsspec.filesystem("memory")
    with contextlib.ExitStack() as training:
        folder = training.enter_context(remote.results(ADDRESS))
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / "page.txt").write_text("ours")
        (folder / "reports" / "more.txt").write_text("ours")
        (folder / "run.json").write_text("{}")
        storage.pipe_file("/bucket/run/reports/page.txt", b"theirs")
        with pytest.raises(errors.FolderError, match=r"run/reports/page\.txt was writ") as caught:
            training.close()
    assert storage.cat("/bucket/run/reports/page.txt") == b"theirs"
    assert "more.txt" not in stored()
    assert str(folder) in caught.value.hint
    assert (folder / "reports" / "page.txt").read_text() == "ours"


def test_results_that_were_removed_there_are_removed_here() -> None:
    write(page="a", other="b")
    fsspec.filesystem("memory").rm_file("/bucket/run/reports/other.txt")
    assert opened() == {"run": "{}", "page": "a"}


def test_results_that_were_not_uploaded_stay_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    write(page="a", other="b")
    refused(monkeypatch, page="new")
    fsspec.filesystem("memory").rm("/bucket/run", recursive=True)
    with remote.results(ADDRESS):
        pass
    assert stored() == ["other.txt", "page.txt", "run.json"]
    assert opened() == {"run": "{}", "page": "new", "other": "b"}


def test_deleted_copies_are_downloaded_again() -> None:
    folder = write(page="a")
    os.remove(folder / "reports" / "page.txt")  # noqa: PTH107
    assert opened() == {"run": "{}", "page": "a"}


@pytest.mark.slow
def test_an_interrupted_training_resumes_before_anything_is_uploaded(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images")
    with tiny.on_offer():
        experiment = tiny.experiment(
            images, epochs=3, reporters=[{"type": "stop-once", "after": 1}]
        )
        tiny.stopped.clear()
        with pytest.raises(KeyboardInterrupt, match=r"epoch 1 is kept in .*--resume"):
            cv.train(experiment, ADDRESS)
        assert stored() == []
        with pytest.raises(errors.FolderError, match=r"memory://bucket/run: .*interrupted run"):
            cv.train(experiment, ADDRESS)
        resumed = cv.train(experiment, ADDRESS, resume=True)
        assert list(resumed.history["epoch"]) == [1, 2, 3]
        assert not resumed.interrupted
        assert "run.json" in stored()
        assert not [name for name in stored() if name.startswith(".")]
        assert cv.load_run(ADDRESS).predictions.equals(resumed.predictions)
