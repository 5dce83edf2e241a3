"""Images and results on remote storage are used as if they were here."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tiny
from fsspec.implementations.memory import MemoryFileSystem
from images import noise, write, write_folder

import cellvision as cv
from cellvision import cli, errors, remote


@pytest.fixture(autouse=True)
def _plugins() -> Iterator[None]:
    with tiny.on_offer():
        yield


@pytest.fixture(autouse=True)
def _empty_storage() -> Iterator[None]:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield
    MemoryFileSystem.store.clear()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give a function that makes this another machine: one without copies."""
    machines = iter(range(9))

    def move() -> None:
        monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / f"cache{next(machines)}"))

    move()
    return move


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were copied from the storage in memory."""
    names: list[str] = []
    get_file = MemoryFileSystem.get_file

    def noticed(self: MemoryFileSystem, rpath: str, lpath: Any, **options: Any) -> None:
        names.append(rpath)
        get_file(self, rpath, lpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", noticed)
    return names


def put(folder: Path, address: str) -> str:
    """Put a folder's files at an address."""
    system, root = fsspec.url_to_fs(address)
    for path in folder.rglob("*"):
        if path.is_file():
            target = f"{root}/{path.relative_to(folder).as_posix()}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(path), target)
    return address


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tiny.make_folder(tmp_path / "images", count=18, wells=6)
    (root / "notes.txt").write_text("of the day\n")
    return root


def folder(path: str | Path, **settings: Any) -> cv.Dataset:
    return cv.datasets.create("folder", path=path, **settings)


# --- images ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_remote_folder_equals_local_folder(images: Path, tmp_path: Path, kind: str) -> None:
    address = {"memory": "memory://bucket/images", "file": f"file://{tmp_path}/store"}[kind]
    local_folder, remote_folder = folder(images), folder(put(images, address))
    assert remote_folder.catalog().equals(local_folder.catalog())
    assert remote_folder.skipped_files() == local_folder.skipped_files()
    for image in ("dark/s0.png", "light/s17.png"):
        assert np.array_equal(remote_folder.read(image), local_folder.read(image))
        assert remote_folder.fingerprint(image) == local_folder.fingerprint(image)
    described = {
        "type": "folder",
        "path": address,
        "group": None,
        "batch": None,
        "classes": None,
        "mono": False,
    }
    assert remote_folder.model_dump(mode="json") == described
    assert folder(f"{address}/") == remote_folder


def test_copies_are_made_once_and_follow_the_storage(images: Path, copied: list[str]) -> None:
    remote_folder = folder(put(images, "memory://bucket/images"))
    before = remote_folder.catalog()
    assert len(copied) == 38
    remote_folder.catalog()
    remote_folder.skipped_files()
    remote_folder.read("dark/s0.png")
    assert len(copied) == 38
    storage = fsspec.filesystem("memory")
    light = storage.cat_file("/bucket/images/light/s1.png")
    storage.pipe_file("/bucket/images/dark/s0.png", light)
    storage.rm_file("/bucket/images/dark/s1.png")
    assert list(remote_folder.catalog()["image"]) == [
        image for image in before["image"] if image != "dark/s1.png"
    ]
    assert copied[38:] == ["/bucket/images/dark/s0.png"]
    assert np.array_equal(remote_folder.read("dark/s0.png"), remote_folder.read("light/s1.png"))


def test_a_copy_that_was_damaged_or_lost_is_made_again(images: Path) -> None:
    remote_folder = folder(put(images, "memory://bucket/images"))
    remote_folder.catalog()
    (remote.locate(remote_folder.path, "dark/s0.png")).write_bytes(b"cut off")
    remote.locate(remote_folder.path, "dark/s1.png").unlink()
    assert remote_folder.read("dark/s1.png").shape == (tiny.SIDE, tiny.SIDE, 1)
    remote_folder.catalog()
    assert np.array_equal(remote_folder.read("dark/s0.png"), folder(images).read("dark/s0.png"))


def test_interrupted_downloads_resume(
    images: Path, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote_folder = folder(put(images, "memory://bucket/images"))
    counting = MemoryFileSystem.get_file

    def breaking(self: MemoryFileSystem, rpath: str, lpath: Any, **options: Any) -> None:
        if len(copied) == 10:
            raise ConnectionResetError("the line is dead")
        counting(self, rpath, lpath, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", breaking)
        with pytest.raises(errors.CellvisionError, match="memory://bucket/images cannot be read"):
            remote_folder.catalog()
    assert len(copied) == 10
    assert len(remote_folder.catalog()) == 36
    assert len(copied) == len(set(copied)) == 38


def test_a_file_that_arrives_cut_off_is_not_taken(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote_folder = folder(put(images, "memory://bucket/images"))

    def cut(self: MemoryFileSystem, rpath: str, lpath: Any, **options: Any) -> None:
        Path(lpath).write_bytes(self.cat_file(rpath)[:-1])

    monkeypatch.setattr(MemoryFileSystem, "get_file", cut)
    with pytest.raises(errors.CellvisionError, match=r"\d+ of \d+ bytes arrived"):
        remote_folder.catalog()


def test_a_remote_table_brings_the_files_that_it_names(tmp_path: Path, copied: list[str]) -> None:
    store = write_folder(tmp_path / "store", {"x": 3, "y": 3})
    lines = ["file,label", *(f"x/{k}.png,a" for k in range(2)), "y/0.png,b", "y/gone.png,b"]
    (store / "cells.csv").write_text("\n".join(lines))
    put(store, "memory://bucket/plate")
    remote_table = cv.datasets.create("table", path="memory://bucket/plate/cells.csv")
    assert list(remote_table.catalog()["image"]) == ["x/0.png", "x/1.png", "y/0.png", "y/gone.png"]
    assert sorted(copied) == [
        f"/bucket/plate/{name}" for name in ("cells.csv", "x/0.png", "x/1.png", "y/0.png")
    ]
    assert np.array_equal(remote_table.read("x/1.png")[..., 0], noise(2))
    with pytest.raises(errors.UnreadableImage) as caught:
        remote_table.read("y/gone.png")
    assert caught.value.what == "y/gone.png: no such file"  # the image by its id
    rooted = cv.datasets.create("table", path=store / "cells.csv", root="memory://bucket/plate")
    assert np.array_equal(rooted.read("y/0.png")[..., 0], noise(4))


def test_rows_may_be_addresses(tmp_path: Path, copied: list[str]) -> None:
    put(write_folder(tmp_path / "store", {"a": 1, "b": 1}), "memory://bucket/plate")
    write(tmp_path / "c.png", noise(9))
    rows = ["memory://bucket/plate/a/0.png,a", f"file://{tmp_path}/c.png,b", "c.png,b"]
    (tmp_path / "cells.csv").write_text("\n".join(["file,label", *rows]))
    with pytest.raises(errors.CatalogError, match=r"line 2: memory://bucket/plate/a/0\.png is not"):
        cv.datasets.create("table", path=tmp_path / "cells.csv").catalog()
    assert copied == []
    table = cv.datasets.create(
        "table",
        path=tmp_path / "cells.csv",
        allowed=["memory://bucket/plate", f"file://{tmp_path}"],
    )
    images = list(table.catalog()["image"])
    assert copied == ["/bucket/plate/a/0.png"]
    read = [table.read(image)[..., 0] for image in images]
    assert all(map(np.array_equal, read, [noise(1), noise(9), noise(9)]))


# --- errors ------------------------------------------------------------------------------


def refused(address: str, kind: type[errors.CellvisionError] = errors.FolderError) -> Any:
    with pytest.raises(kind) as caught:
        folder(address).catalog()
    assert address in caught.value.what
    assert "cache" not in str(caught.value)
    return caught.value


def test_faults_name_the_address(images: Path, tmp_path: Path) -> None:
    assert "nothing at" in refused("memory://bucket/nothing").what
    put(images, "memory://bucket/images")
    assert "is a file" in refused("memory://bucket/images/groups.csv").what
    assert "not in class folders" in refused("memory://bucket/images/dark").what
    with pytest.raises(errors.FolderError, match=r"nothing at memory://bucket/no\.csv"):
        cv.datasets.create("table", path="memory://bucket/no.csv").catalog()
    (tmp_path / "up.csv").write_text("file,label\n../x.png,a\n")
    up = cv.datasets.create("table", path=tmp_path / "up.csv", root="memory://bucket/images")
    with pytest.raises(errors.CatalogError, match=r"\.\./x\.png is not below memory"):
        up.catalog()


def test_missing_drivers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "fsspec knows no storage" in refused("nowhere://images", errors.ExperimentError).what
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert refused("s3://bucket/images", errors.ExperimentError).hint.endswith("install s3fs")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    missing = refused("memory://bucket/images", errors.ExperimentError)
    assert "cellvision[remote]" in missing.hint


def test_a_password_is_not_written_into_records() -> None:
    with pytest.raises(errors.ExperimentError, match="must not contain a password"):
        folder("sftp://me:secret@host/images")


def test_a_storage_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(MemoryFileSystem, "find", refuse)
    fault = refused("memory://bucket/images", errors.CellvisionError)
    assert "Access Denied" in fault.what
    assert "credentials" in fault.hint


# --- results -----------------------------------------------------------------------------


def experiment(path: str | Path, **settings: Any) -> cv.Experiment:
    return tiny.experiment(path, **{"epochs": 2, **settings})  # type: ignore[arg-type]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were sent to the storage in memory."""
    names: list[str] = []
    put_file = MemoryFileSystem.put_file

    def noticed(self: MemoryFileSystem, lpath: Any, rpath: str, **options: Any) -> None:
        names.append(rpath)
        put_file(self, lpath, rpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noticed)
    return names


@pytest.mark.slow
def test_a_run_from_storage_to_storage(
    images: Path, tmp_path: Path, elsewhere: Callable[[], None], sent: list[str]
) -> None:
    source, out = put(images, "memory://bucket/images"), "memory://bucket/runs/first"
    sent.clear()
    created = cv.train(experiment(source), out)
    assert sent[-1] == "/bucket/runs/first/run.json"
    alone = cv.train(experiment(images), tmp_path / "alone")
    assert created.predictions.equals(alone.predictions)
    elsewhere()
    opened = cv.load_run(out)
    assert opened.predictions.equals(alone.predictions)
    assert opened.metadata.experiment["dataset"]["path"] == source
    seen = [run.network_input(["dark/s0.png"]) for run in (opened, alone)]
    assert np.array_equal(*seen)
    assert np.array_equal(
        *(run.model()(pixels) for run, pixels in zip((opened, alone), seen, strict=True))
    )
    before = len(sent)
    with pytest.raises(errors.FolderError, match=r"memory://bucket/runs/first: .* finished run"):
        cv.train(experiment(source), out)
    assert len(sent) == before


def test_images_at_addresses_are_predicted_under_their_own_names(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cv.train(experiment(images), tmp_path / "run")
    source = put(images, "memory://bucket/images")
    local_table = cv.predict(run, images, engine="keras").set_index("image")
    remote_table = cv.predict(run, source, engine="keras").set_index("image")
    names = {
        f"{source}/{Path(name).relative_to(images).as_posix()}": name for name in local_table.index
    }
    assert list(remote_table.index) == list(names)
    np.testing.assert_array_equal(
        tiny.probabilities(remote_table),
        tiny.probabilities(local_table.loc[[names[n] for n in remote_table.index]]),
    )
    some, other = remote_table.index[0], local_table.index[0]
    table = tmp_path / "few.csv"
    with pytest.raises(SystemExit) as done:
        cli.main(["predict", str(run.folder), some, other, some, "--out", str(table)])
    assert done.value.code == 0
    rows = table.read_text(encoding="utf-8").splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == [some, other, some]
    with pytest.raises(errors.FolderError, match="nothing at memory://bucket/none"):
        cv.predict(run, "memory://bucket/none")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no image")
    with pytest.raises(errors.FolderError, match="no images here"):
        cv.predict(run, put(tmp_path / "text", "memory://bucket/text"))


@pytest.mark.exhaustive
def test_a_remote_study_arrives_when_it_is_finished_and_grows(
    images: Path, elsewhere: Callable[[], None], sent: list[str]
) -> None:
    out = "memory://bucket/studies/first"
    stops = {"reporters": [{"type": "listener", "fails": ["interrupt"]}]}
    with pytest.raises(KeyboardInterrupt):
        cv.study(experiment(images, **stops), runs=2, out=out)
    assert sent == []
    with pytest.raises(errors.FolderError, match="nothing at"):
        cv.load_study(out)
    elsewhere()
    created = cv.study(experiment(images), runs=2, out=out)
    assert sent[-1] == "/bucket/studies/first/study.json"
    assert len(sent) == len(set(sent))
    sent.clear()
    elsewhere()
    longer = cv.study(experiment(images), runs=3, out=out)
    assert [name for name in sent if name.endswith("/run.json")] == [
        "/bucket/studies/first/runs/002/run.json"
    ]
    elsewhere()
    opened = cv.load_study(out)
    assert opened.table.equals(longer.table)
    assert opened.metadata.seeds == (0, 1, 2)
    assert opened.table[opened.table["run"] < "002"].equals(created.table)


def test_other_files_are_refused_and_not_downloaded(images: Path, copied: list[str]) -> None:
    put(images, "memory://bucket/images")
    for work in (cv.load_run, cv.load_study, lambda target: cv.train(experiment(images), target)):
        with pytest.raises(errors.FolderError, match=r"holds no run or study, .* 'images/dark/s0"):
            work("memory://bucket")
    assert copied == []


@pytest.mark.slow
def test_results_that_cannot_be_uploaded_stay_local_and_resume(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", refuse)
        with pytest.raises(errors.CellvisionError, match="cannot be written") as caught:
            cv.study(experiment(images), runs=1, out="memory://bucket/study")
    local_folder = caught.value.hint.rpartition("results are in ")[2]
    assert len(cv.load_study(local_folder).runs) == 1
    first = Path(local_folder) / "runs" / "000" / "run.json"
    created = first.stat().st_mtime_ns
    again = cv.study(experiment(images), runs=2, out="memory://bucket/study")
    assert first.stat().st_mtime_ns == created
    assert len(again.runs) == 2
    assert cv.load_study("memory://bucket/study").table.equals(again.table)


def test_a_record_alone_opens_no_address(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    copied: list[str],
    elsewhere: Callable[[], None],
) -> None:
    """The record of a stranger's run may name any storage."""
    source, run = put(images, "memory://bucket/images"), str(tmp_path / "run")
    cv.train(experiment(source), run)
    page = ["--static", str(tmp_path / "page")]
    commands = (
        ["report", run, "--reporter", "sample"],
        ["label", run, "--out", str(tmp_path / "folder.db"), *page],
        ["label", f"{run}/run.json", "--out", str(tmp_path / "record.db"), *page],
        ["label", str(images), "--run", run, "--out", str(tmp_path / "run.db"), *page],
    )

    def exit_code(*words: str) -> int | str | None:
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        return end.value.code

    assert exit_code(*commands[0]) == 0  # this user has read those images
    for command in commands[:3]:
        elsewhere()
        copied.clear()
        capsys.readouterr()
        shutil.rmtree(tmp_path / "page", ignore_errors=True)
        assert exit_code(*command) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"reads images from {source}, which you never read before" in said
        assert "--allow-network" in said
        assert copied == []
        assert exit_code(*command, "--allow-network") == 0
        assert copied
    assert exit_code(*commands[0]) == 0
    elsewhere()
    copied.clear()
    exit_code(*commands[3])  # whatever it says: pixels of the test set are in the record
    assert copied == []


def test_a_reopened_run_reads_only_addresses_that_are_known(
    images: Path, tmp_path: Path, copied: list[str], elsewhere: Callable[[], None]
) -> None:
    source = put(images, "memory://bucket/images")
    cv.study(experiment(source), runs=1, out=tmp_path / "study")
    (trained,) = cv.load_study(tmp_path / "study").runs
    image = trained.predictions["image"][0]
    pixels = trained.read_image(image)
    elsewhere()
    copied.clear()
    reopened = cv.load_run(trained.folder)
    (of_study,) = cv.load_study(tmp_path / "study").runs
    for run in (reopened, of_study):
        for read in (run.read_image, lambda name, run=run: run.network_input([name])):
            with pytest.raises(cv.errors.ExperimentError, match="which you never read before"):
                read(image)
    probabilities = cv.predict(reopened, images, progress=False)  # local files, and no address
    assert len(probabilities) == 36
    assert copied == []
    (of_study,) = cv.load_study(tmp_path / "study", allow_network=True).runs
    assert np.array_equal(of_study.read_image(image), pixels)
    assert cv.load_run(trained.folder).read_image(image).shape == pixels.shape  # known by now


def test_a_run_beside_its_images_is_known(images: Path, elsewhere: Callable[[], None]) -> None:
    source = put(images, "memory://bucket/images")
    run = cv.train(experiment(source), "memory://bucket/run")
    image = run.predictions["image"][0]
    pixels = run.read_image(image)
    elsewhere()
    assert np.array_equal(cv.load_run("memory://bucket/run").read_image(image), pixels)


@pytest.mark.exhaustive
def test_the_command_line_takes_addresses(
    images: Path, capsys: pytest.CaptureFixture[str], elsewhere: Callable[[], None]
) -> None:
    source, out = put(images, "memory://bucket/images"), "memory://bucket/run"

    def command(*words: str) -> str:
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        captured = capsys.readouterr()
        assert end.value.code == 0, captured.err
        return captured.out

    assert json.loads(command("audit", source, "--json"))["counts"]
    quick = [
        "architecture=level",
        "training.epochs=1",
        "preprocessing.size=[16,16]",
        "reporters=[tables]",
    ]
    settings = [word for setting in quick for word in ("--set", setting)]
    assert out in command("train", source, "--out", out, *settings)
    elsewhere()
    assert "tables" in command("report", out, "--reporter", "tables")
    fsspec.filesystem("memory").rm("/bucket/run/reports", recursive=True)
    command("report", out)
    assert fsspec.filesystem("memory").ls("/bucket/run/reports")
