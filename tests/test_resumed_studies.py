"""Studies and trainings that are resumed after their images were moved, or with an expert."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from command_line import command

import cellvision as cv
from cellvision import errors


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    with tiny.on_offer():
        yield


def studied(images: Path, out: Path, runs: int, **settings: Any) -> cv.Study:
    experiment = tiny.experiment(images, group="well", epochs=1, reporters=None)
    return cv.study(experiment, runs, out, workers=1, progress=False, **settings)


def started(tmp_path: Path, **settings: Any) -> tuple[Path, Path, cv.Study]:
    """Return where the images are, where they will be, and a study of one run."""
    old = tiny.make_folder(tmp_path / "old", count=16)
    return old, tmp_path / "new", studied(old, tmp_path / "study", 1, **settings)


def test_a_study_is_extended_after_its_images_were_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new, study = started(tmp_path)
    shutil.move(old, new)
    caplog.clear()
    longer = studied(new, study.folder, 2)
    assert len(longer.runs) == 2
    assert f"they are read in {new} now" in caplog.text
    assert "failed" not in caplog.text  # the panel shows images of the first run
    # Later, nobody needs to say again where the images are.
    reopened = cv.load_study(study.folder)
    first = reopened.runs[0]
    assert first.metadata.experiment["dataset"]["path"] == str(old)
    assert first.read_image(first.predictions["image"][0]).shape == (32, 32, 1)
    assert command("report", study.folder, "--reporter", "panel") == 0


def test_the_pooled_folds_of_a_study_find_their_images(tmp_path: Path) -> None:
    old, new, study = started(tmp_path, folds=2)
    shutil.move(old, new)
    longer = studied(new, study.folder, 2, folds=2)
    pooled = longer.experiments[0].out_of_fold
    assert pooled is not None
    assert pooled.read_image(pooled.predictions["image"][0]).shape == (32, 32, 1)


def test_other_images_in_the_new_place_are_refused(tmp_path: Path) -> None:
    old, new, study = started(tmp_path)
    shutil.move(old, new)
    tiny.write(new / "dark" / "s1.png", tiny.pixels(99, 7))
    with pytest.raises(errors.FolderError, match="was trained on other images"):
        studied(new, study.folder, 2)


def test_a_place_beside_the_old_one_is_another_study(tmp_path: Path) -> None:
    old, new, study = started(tmp_path)
    shutil.copytree(old, new)
    with pytest.raises(errors.FolderError, match="another study was started here: dataset"):
        studied(new, study.folder, 2)


def test_a_training_resumes_after_its_images_were_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tiny.make_folder(tmp_path / "old", count=16)
    out, new = tmp_path / "run", tmp_path / "new"
    stop = [{"type": "stop-once", "after": 2}]
    tiny.stopped.clear()
    with pytest.raises(KeyboardInterrupt):
        cv.train(tiny.experiment(old, reporters=stop, epochs=3), out)
    shutil.move(old, new)
    run = cv.train(tiny.experiment(new, reporters=stop, epochs=3), out, resume=True)
    assert list(run.history["epoch"]) == [1, 2, 3]
    assert f"they are read in {new} now" in caplog.text
    assert run.metadata.experiment["dataset"]["path"] == str(new)


def test_an_expert_is_added_to_a_finished_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, _, study = started(tmp_path)
    assert command("report", study.folder, "--expert", "test=0.75") == 0
    reopened = cv.load_study(study.folder)
    assert reopened.metadata.expert == {"test": 0.75}
    assert [verdict.expert for verdict in reopened.verdicts] == [0.75]
    assert "0.75" in (study.folder / "reports" / "summary.md").read_text()
    # The command that started the study keeps it, and can change it.
    assert studied(old, study.folder, 2).metadata.expert == {"test": 0.75}
    changed = studied(old, study.folder, 2, expert={"test": 0.8, "train": 0.9})
    assert changed.metadata.expert == {"test": 0.8, "train": 0.9}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--expert", "tset=0.8"), "Splits: test, train, validation."),
        (("--expert", "test=80"), "accuracy from 0 to 1"),
    ],
)
def test_an_impossible_expert_changes_nothing(
    tmp_path: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = started(tmp_path)[2]
    before = (study.folder / "study.json").read_bytes()
    assert command("report", study.folder, *words) == 2
    assert message in capsys.readouterr().err
    assert (study.folder / "study.json").read_bytes() == before
    assert json.loads(before)["expert"] == {}


def test_an_expert_is_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = started(tmp_path)[2]
    assert command("report", study.runs[0].folder, "--expert", "test=0.8") == 2
    assert "--expert is for studies" in capsys.readouterr().err
