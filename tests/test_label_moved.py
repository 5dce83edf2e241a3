"""Answer files whose images were moved since the session started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from labelling import begin, label, make_labelled_images, rows_of

import cellvision as cv
from cellvision.cli import main
from cellvision.labelling.images import Gallery
from cellvision.labelling.store import Store


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    with tiny.on_offer():
        yield


def move(old: Path, new: Path) -> Path:
    new.parent.mkdir(exist_ok=True)
    return Path(shutil.move(old, new))


def answer_all(file: Path, answer: str = "dark") -> None:
    with Store(file) as store:
        progress = store.begin("Ana")
        while progress.showing is not None:
            progress = store.answer(progress.key, progress.showing, answer, 1.0)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return make_labelled_images(tmp_path / "old", tests=6)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "new"


def test_a_session_goes_on_where_its_images_are_now(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = begin(old, tmp_path / "answers.sqlite", "--set", "dataset.group=well")
    answer_all(file)
    move(old, new)
    table, page = tmp_path / "corrected.csv", tmp_path / "page"
    for words in (("--static", page), ("--export-table", table), ()):
        assert label(file, *words) == 2
        error = capsys.readouterr().err
        assert f"{old}: there is no such folder, so the images of {file} are not there" in error
        assert "--session-images FOLDER" in error
    assert label(file, "--export", tmp_path / "answers.csv") == 0  # needs no image
    assert label(file, "--session-images", new, "--static", page) == 0
    assert (page / "label.html").is_file()
    assert label(file, "--session-images", new, "--export-table", table) == 0
    files = [Path(row["file"]) for row in rows_of(table)]
    assert len(files) == 24
    assert all(
        (tmp_path / "elsewhere" / each).exists() or (tmp_path / each).exists() for each in files
    )
    with Store(file, images=new) as store:
        plan = store.plan()
        assert Gallery(plan).png(plan.images[0], "native").startswith(b"\x89PNG")
    with Store(file) as store:  # the file itself does not change
        assert store.plan().experiment["dataset"]["path"] == str(old)


def test_the_first_missing_image_of_a_session_is_named(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = begin(old, tmp_path / "answers.sqlite")
    move(old, new)
    words = (file, "--static", tmp_path / "page")
    assert label(*words, "--session-images", tmp_path / "nowhere") == 2
    assert f"{tmp_path / 'nowhere'}: there is no such folder" in capsys.readouterr().err
    (new / "test" / "dark" / "s1.png").unlink()
    assert label(*words, "--session-images", new) == 2
    error = capsys.readouterr().err
    assert "of the session is missing, first: test/dark/s1.png" in error
    assert label(new, "--out", tmp_path / "b.sqlite", "--session-images", new) == 2
    assert "--session-images is for answer files" in capsys.readouterr().err


def test_other_pixels_in_the_new_place_are_refused(old: Path, new: Path, tmp_path: Path) -> None:
    file = begin(old, tmp_path / "answers.sqlite")
    move(old, new)
    for path in new.rglob("*.png"):
        tiny.write(path, tiny.pixels(99, 7))
    assert label(file, "--session-images", new, "--static", tmp_path / "page") == 2


def test_unlabelled_images_and_the_examples_of_their_run_may_both_have_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tiny.make_folder(tmp_path / "trained", count=10)
    run = cv.train(tiny.experiment(trained, epochs=1), tmp_path / "run")
    images = tmp_path / "unlabelled"
    for k in range(4):
        tiny.write(images / f"s{k}.png", tiny.pixels(90, 5000 + k))
    file = tmp_path / "answers.sqlite"
    start = (images, "--classes", "dark,light", "--run", run.folder, "--out", file)
    assert label(*start, "--static", tmp_path / "page") == 0
    places = (move(images, tmp_path / "new" / "a"), move(trained, tmp_path / "new" / "b"))
    words = ("--static", tmp_path / "second")
    assert label(file, "--session-images", places[0], *words) == 2
    error = capsys.readouterr().err
    assert f"{trained}: there is no such folder, so the examples of {file} are not there" in error
    assert "--run-images FOLDER" in error
    both = ("--session-images", places[0], "--run-images", places[1])
    assert label(file, *both, *words) == 0
    assert (tmp_path / "second" / "label.html").is_file()
    answer_all(file)
    assert label(file, *both, "--export-table", tmp_path / "new" / "labels.csv") == 0
    names = sorted(row["file"] for row in rows_of(tmp_path / "new" / "labels.csv"))
    assert names == [f"a/s{k}.png" for k in range(4)]


def test_an_expert_is_compared_after_the_images_moved(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cv.train(tiny.experiment(old, epochs=1, group="well"), tmp_path / "run")
    file = tmp_path / "answers.sqlite"
    assert label(run.folder, "--out", file, "--static", tmp_path / "page") == 0
    move(old, new)
    assert label(file, "--session-images", new, "--static", tmp_path / "again") == 0
    answer_all(file)
    table = tmp_path / "answers.csv"
    assert label(file, "--export", table) == 0
    settings = ("--set", f"answers={table}", "--set", "declared=run", "--run-images", str(new))
    with pytest.raises(SystemExit) as end:
        main(["report", str(run.folder), "--reporter", "expert", *settings])
    assert end.value.code == 0
    text = (run.folder / "reports" / "expert.md").read_text(encoding="utf-8")
    assert "Ana" in text
    assert "accuracy" in text


def test_python_labels_an_answer_file_where_its_images_are_now(
    old: Path, new: Path, tmp_path: Path
) -> None:
    file = begin(old, tmp_path / "answers.sqlite", "--set", "dataset.group=well")
    answer_all(file)
    table = tmp_path / "corrected.csv"
    cv.label(file, export_table=table)
    before = rows_of(table)
    move(old, new)
    assert len(cv.label(file, serve=False)) == len(cv.label(file, session_images=new, serve=False))
    with pytest.raises(cv.errors.FolderError, match="--session-images FOLDER"):
        cv.label(file, export_table=table)
    cv.label(file, session_images=new, export_table=table, static=tmp_path / "page")
    assert [row["label"] for row in rows_of(table)] == [row["label"] for row in before]
    assert (tmp_path / "page" / "label.html").is_file()
    with pytest.raises(cv.errors.InvalidInput, match="its images and rules were fixed"):
        cv.label(file, images=3)
    with pytest.raises(cv.errors.InvalidInput, match="is for answer files"):
        cv.label(new, tmp_path / "other.sqlite", session_images=new)
    with pytest.raises(cv.errors.CallError, match="needs 'out'"):
        cv.label(new)
