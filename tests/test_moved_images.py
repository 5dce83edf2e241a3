"""Runs and studies whose images were moved since the training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny
from command_line import command
from labelling import label

import cellvision as cv
from cellvision import errors


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    with tiny.on_offer():
        yield


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Where the images were and will be."""
    return tiny.make_folder(tmp_path / "old", count=10), tmp_path / "elsewhere" / "new"


@pytest.fixture
def run(places: tuple[Path, Path], tmp_path: Path) -> cv.Run:
    """A run whose images were moved after the training."""
    old, new = places
    trained = cv.train(tiny.experiment(old, group="well", epochs=1), tmp_path / "run")
    new.parent.mkdir()
    shutil.move(old, new)
    return trained


def test_a_run_reads_its_images_where_they_are_now(
    run: cv.Run, places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list(run.predictions["image"])[:3]
    with pytest.raises(errors.UnreadableImage) as caught:
        cv.load_run(run.folder).read_image(images[0])
    assert images[0] in caught.value.what
    assert "--run-images FOLDER" in caught.value.hint
    monkeypatch.chdir(places[1].parent)
    moved = cv.load_run(run.folder, images="new")
    monkeypatch.chdir(places[1].parent.parent)  # a relative path holds for where it was given
    assert moved.model_input(images).shape == (3, 16, 16, 1)
    assert moved.experiment.dataset.path == places[1]  # type: ignore[attr-defined]
    assert moved.experiment.training == run.experiment.training


def test_the_first_missing_image_is_named(run: cv.Run, places: tuple[Path, Path]) -> None:
    (places[1] / "light" / "s3.png").unlink()
    with pytest.raises(errors.FolderError, match=r"1 of the 20 images .*first: light/s3.png"):
        cv.load_run(run.folder, images=places[1])
    with pytest.raises(errors.FolderError, match=r"20 of the 20 images .* are missing"):
        cv.load_run(run.folder, images=places[1] / "dark")
    with pytest.raises(errors.FolderError, match="there is no such folder"):
        cv.load_run(run.folder, images=places[0])


def test_other_pixels_under_the_same_names_are_refused(
    run: cv.Run, places: tuple[Path, Path]
) -> None:
    tiny.write(places[1] / "dark" / "s1.png", tiny.pixels(99, 7))
    moved = cv.load_run(run.folder, images=places[1])
    with pytest.raises(errors.UnreadableImage, match="its pixels have changed"):
        moved.read_image("dark/s1.png")


def test_report_draws_images_where_they_are_now(
    run: cv.Run, places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    report = ("report", run.folder, "--reporter", "panel")
    assert command(*report) != 0
    assert "--run-images FOLDER" in capsys.readouterr().err
    assert command(*report, "--run-images", places[1]) == 0
    assert (run.folder / "reports" / "panel_test.png").is_file()
    assert command(*report, "--run-images", places[0]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_a_study_reads_its_images_where_they_are_now(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = places
    experiment = tiny.experiment(old, group="well", epochs=1)
    cv.study(experiment, 2, tmp_path / "study", controls="intensity")
    new.parent.mkdir()
    shutil.move(old, new)
    study = cv.load_study(tmp_path / "study", images=new)
    image = study.runs[1].predictions["image"][0]
    assert study.runs[1].read_image(image).shape == (32, 32, 1)
    (new / image).unlink()
    with pytest.raises(errors.FolderError, match=f"first: {image}"):
        cv.load_study(tmp_path / "study", images=new)


def test_a_table_is_found_in_the_new_folder(tmp_path: Path) -> None:
    old = tiny.make_folder(tmp_path / "old", count=10)
    rows = [f"{path.relative_to(old)},{path.parent.name}" for path in sorted(old.rglob("*.png"))]
    (old / "cells.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    dataset = cv.datasets.create("table", path=old / "cells.csv")
    experiment = tiny.experiment(old, epochs=1).model_copy(update={"dataset": dataset})
    run = cv.train(experiment, tmp_path / "run")
    image = run.predictions["image"][0]
    old.rename(tmp_path / "new")
    for place in (tmp_path / "new", tmp_path / "new" / "cells.csv"):
        moved = cv.load_run(run.folder, images=place)
        assert moved.dataset.catalog()["image"].tolist() == sorted(run.predictions["image"])
    # Only the images: what was recorded of the table suffices.
    (tmp_path / "new" / "cells.csv").unlink()
    assert cv.load_run(run.folder, images=tmp_path / "new").read_image(image).ndim == 3


def test_a_data_set_without_a_path_has_no_other_place() -> None:
    class Generated(cv.Dataset):
        """Draws its images."""

        def catalog(self) -> pd.DataFrame:
            return pd.DataFrame({"image": ["0"], "label": ["a"]})

        def read(self, image: str) -> object:  # type: ignore[override]
            return tiny.pixels(60, int(image))[..., None]

    cv.datasets.register("generated", Generated)
    try:
        with pytest.raises(errors.ExperimentError, match="'generated' has no setting 'path'"):
            Generated().relocated("elsewhere")
    finally:
        cv.datasets.unregister("generated")


def test_label_takes_the_images_of_a_run_where_they_are_now(
    run: cv.Run, places: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.db"
    words = (run.folder, "--out", answers, "--static", tmp_path / "page")
    assert label(*words) == 2
    assert "--run-images FOLDER" in capsys.readouterr().err
    assert label(*words, "--run-images", places[1]) == 0
    assert label(answers, "--run-images", places[1]) == 2  # its images were fixed at its start


def test_label_ranks_moved_images(run: cv.Run, places: tuple[Path, Path], tmp_path: Path) -> None:
    unlabelled = tmp_path / "unlabelled"
    tiny.make_folder(unlabelled, count=3)
    for path in unlabelled.rglob("*.png"):
        tiny.write(path, tiny.pixels(90, hash(path.name) % 1000 + len(path.parts)))
    shutil.rmtree(unlabelled / "light")
    words = (unlabelled, "--classes", "dark,light", "--run", run.folder)
    end = ("--run-images", places[1], "--static", tmp_path / "page")
    assert label(*words, "--out", tmp_path / "answers.db", *end) == 0


@pytest.mark.slow
def test_export_checks_images_where_they_are_now(
    run: cv.Run, places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    export = ("export", run.folder, "--format", "saved_model")
    assert command(*export) == 2
    assert "--run-images FOLDER" in capsys.readouterr().err
    assert command(*export, "--run-images", places[1]) == 0


def _trusted(run: cv.Run, images: Path, out: Path, *words: object) -> int:
    """Predict with the flag for unlike groups, which reads the images of the run again."""
    return command(
        "predict", run.folder, images, "--out", out, "--by", "well", "--trust",
        "--engine", "keras", *words,
    )  # fmt: skip


def test_predict_reads_the_images_of_the_run_where_they_are_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    old = tiny.make_folder(tmp_path / "old", count=32, wells=32)
    split = {"validation": 0.4, "test": 0.1}
    run = cv.train(tiny.experiment(old, group="well", epochs=1, split=split), tmp_path / "run")
    plate = tiny.make_folder(tmp_path / "plate", count=4)
    assert _trusted(run, plate, tmp_path / "before.csv") == 0
    before = pd.read_csv(tmp_path / "before_by_well.csv")
    assert {"p_unlike", "unlike"} <= set(before)

    new = tmp_path / "elsewhere" / "new"
    new.parent.mkdir()
    shutil.move(old, new)
    caplog.clear()
    assert _trusted(run, plate, tmp_path / "gone.csv") == 0
    assert "no flag for unlike groups" in caplog.text
    assert "--run-images FOLDER" in caplog.text
    assert "p_unlike" not in pd.read_csv(tmp_path / "gone_by_well.csv")

    assert _trusted(run, plate, tmp_path / "after.csv", "--run-images", new) == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "after_by_well.csv"), before)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "after.csv"), pd.read_csv(tmp_path / "before.csv")
    )

    capsys.readouterr()
    assert _trusted(run, plate, tmp_path / "no.csv", "--run-images", plate) == 2
    assert f"{plate}: 56 of the 64 images of {run.folder} are missing" in capsys.readouterr().err
    assert _trusted(run, plate, tmp_path / "no.csv", "--run-images", old) == 2
    assert f"{old}: there is no such folder" in capsys.readouterr().err
    assert not (tmp_path / "no.csv").exists()
    tiny.write(new / run.predictions_of("validation")["image"].iloc[0], tiny.pixels(99, 7))
    caplog.clear()
    assert _trusted(run, plate, tmp_path / "changed.csv", "--run-images", new) == 0
    assert "its pixels have changed since the training" in caplog.text
