"""Studies: runs equal single trainings, and interruptions lose no finished run."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.results.claimed_folder import MARK

pytestmark = pytest.mark.usefixtures("tiny_plugins")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=18, wells=6)


def experiment(images: Path, **settings: Any) -> cv.Experiment:
    """An experiment with all state that a run must reset: dropout, statistics, schedule."""
    augmenters = [{"type": "rotation", "degrees": 20}, {"type": "flip"}]
    return tiny.experiment(images, "mixed", augmenters=augmenters, seed=5, **settings)


@pytest.fixture(scope="module")
def study(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Study:
    """A study that many tests share."""
    out = tmp_path_factory.mktemp("whole") / "study"
    # In worker processes, numbers differ by rounding.
    return cv.study(experiment(images), runs=3, out=out, expert={"test": 0.93}, workers=1)


def same(first: cv.Run, second: cv.Run) -> bool:
    histories = [run.history.drop(columns="seconds") for run in (first, second)]
    return first.predictions.equals(second.predictions) and histories[0].equals(histories[1])


# --- the contract ------------------------------------------------------------------------


def test_a_study_folder_has_the_files_of_the_contract(study: cv.Study) -> None:
    names = {path.name for path in study.folder.iterdir() if not path.name.startswith(".")}
    assert names == {"study.json", "verdict.json", "runs.csv", "history.csv", "runs", "reports"}
    assert sorted(path.name for path in (study.folder / "runs").iterdir()) == ["000", "001", "002"]
    record = json.loads((study.folder / "study.json").read_text())
    assert record["schema"] == 1
    assert record["seeds"] == [5, 6, 7]
    assert [entry["name"] for entry in record["runs"]] == ["000", "001", "002"]
    assert record["expert"] == {"test": 0.93}
    assert [entry["name"] for entry in record["experiments"]] == ["mixed"]
    head = (study.folder / "runs.csv").read_text().splitlines()[0].split(",")
    assert head[:6] == ["run", "experiment", "seed", "split", "accuracy", "loss"]
    head = (study.folder / "history.csv").read_text().splitlines()[0]
    assert head == "run,experiment,epoch,loss,accuracy,val_loss,val_accuracy,seconds"


def test_tables_agree_with_the_runs(study: cv.Study) -> None:
    opened = cv.load_study(study.folder)
    assert len(opened.table) == 9
    for run, (label, rows) in zip(opened.runs, opened.table.groupby("run"), strict=True):
        assert run.folder.name == label
        assert set(rows["seed"]) == {run.metadata.seed}
        for _, row in rows.iterrows():
            assert row["accuracy"] == pytest.approx(run.scores[row["split"]].accuracy)
        history = opened.history[opened.history["run"] == label]
        np.testing.assert_array_equal(history["loss"], run.history["loss"])


def test_runs_differ_in_seed_and_not_in_split(study: cv.Study) -> None:
    first, second, _ = study.runs
    assert not same(first, second)
    assert first.metadata.counts == second.metadata.counts
    assert list(first.predictions["split"]) == list(second.predictions["split"])
    # The record of a run is enough to train it alone.
    assert second.metadata.experiment["training"]["seed"] == 6


@pytest.mark.exhaustive
def test_each_run_equals_a_single_training(study: cv.Study, tmp_path: Path) -> None:
    alone = cv.train(study.runs[2].experiment, tmp_path / "alone")
    pairs = zip(alone.model().get_weights(), study.runs[2].model().get_weights(), strict=True)
    assert max(float(np.abs(a - b).max()) for a, b in pairs) < 1e-6
    np.testing.assert_allclose(
        tiny.probabilities(alone.predictions),
        tiny.probabilities(study.runs[2].predictions),
        atol=1e-6,
    )


def test_the_ensemble_is_scored_like_a_run(study: cv.Study) -> None:
    (ensemble,) = cv.load_study(study.folder).ensembles
    assert ensemble.experiment == "mixed"
    assert ensemble.runs == ("000", "001", "002")
    tables = [run.predictions for run in study.runs]
    mean = np.mean([tiny.probabilities(table) for table in tables], axis=0)
    for split, score in ensemble.scores.items():
        rows = (tables[0]["split"] == split).to_numpy()
        labels = (tables[0].loc[rows, "label"] == "light").to_numpy()
        assert score.accuracy == pytest.approx((mean[rows].argmax(axis=1) == labels).mean())
        assert score.accuracy_low <= score.accuracy <= score.accuracy_high
        right = mean[rows][np.arange(rows.sum()), labels.astype(int)]
        assert score.loss == pytest.approx(-np.log(right).mean(), rel=1e-5)


@pytest.mark.slow
def test_the_model_is_traced_once(images: Path, tmp_path: Path) -> None:
    tiny.heard.clear()
    counting = tiny.experiment(
        images, "traced", epochs=2, restarts=0, reporters=[{"type": "listener"}]
    )
    cv.study(counting, runs=3, out=tmp_path / "study")
    counts = [count for _, _, count in tiny.heard]
    assert len(counts) == 6
    assert counts[0] > 0
    assert set(counts) == {counts[0]}


# --- interruptions -----------------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_killed_study_resumes(study: cv.Study, images: Path, tmp_path: Path) -> None:
    cv.save_experiment(experiment(images), tmp_path / "experiment.json")
    folder = tmp_path / "study"
    words = [
        "study",
        str(tmp_path / "experiment.json"),
        "--runs",
        "3",
        "--expert",
        "test=0.93",
        "--workers",
        "1",
    ]
    process = tiny.process(*words, "--out", str(folder))
    assert process.stderr is not None
    assert any("run 2/3" in line for line in process.stderr)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    first = folder / "runs" / "000" / "run.json"
    written = first.stat().st_mtime_ns
    with pytest.raises(errors.FolderError, match=r"no finished study") as caught:
        cv.load_study(folder)
    assert "resume" in caught.value.hint
    resumed = cv.study(experiment(images), runs=3, out=folder, expert={"test": 0.93}, workers=1)
    assert first.stat().st_mtime_ns == written
    pairs = zip(study.runs, resumed.runs, strict=True)
    assert all(same(one, other) for one, other in pairs)
    numbers = ["run", "seed", "split", "n", "accuracy", "loss"]
    assert resumed.table[numbers].equals(study.table[numbers])


@pytest.mark.exhaustive
def test_one_of_two_studies_in_a_folder_is_refused(images: Path, tmp_path: Path) -> None:
    cv.save_experiment(experiment(images, epochs=100_000), tmp_path / "experiment.json")
    words = [
        "study",
        str(tmp_path / "experiment.json"),
        "--runs",
        "2",
        "--out",
        str(tmp_path / "s"),
    ]
    with tiny.running(*words) as first:
        assert first.stderr is not None
        assert any("epoch 1/" in line for line in first.stderr)
        with pytest.raises(errors.FolderError, match=f"in use by: study, process {first.pid}"):
            cv.study(experiment(images, epochs=100_000), runs=2, out=tmp_path / "s")
        first.terminate()
        _, error = first.communicate(timeout=900)
    assert first.returncode == 130
    assert "error: interrupted" in error
    assert "the same command resumes the study" in error
    # A study keeps no half-trained run.
    assert not (tmp_path / "s" / "runs" / "000" / "run.json").exists()


@pytest.mark.slow
def test_more_runs_extend_it_and_fewer_are_refused(
    study: cv.Study, images: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(study.folder, tmp_path / "study")
    shutil.rmtree(folder / "runs" / "002")
    (folder / "study.json").unlink()
    expert = {"test": 0.93}
    longer = cv.study(experiment(images), runs=4, out=folder, expert=expert)
    assert longer.metadata.seeds == (5, 6, 7, 8)
    assert all(same(*pair) for pair in zip(study.runs, longer.runs[:3], strict=True))
    with pytest.raises(errors.FolderError, match="4 runs of this study of 4 have ended"):
        cv.study(experiment(images), runs=2, out=folder, expert=expert)
    assert len(cv.load_study(folder).runs) == 4
    # As if it had been interrupted in its fourth run: three runs can be a study, two cannot.
    (folder / "runs" / "003" / "run.json").unlink()
    with pytest.raises(errors.FolderError, match="3 runs of this study of 4 have ended") as refused:
        cv.study(experiment(images), runs=2, out=folder, expert=expert)
    assert "Request 3 runs or more" in refused.value.hint
    shorter = cv.study(experiment(images), runs=3, out=folder, expert=expert)
    assert shorter.metadata.seeds == (5, 6, 7)
    assert all(same(*pair) for pair in zip(study.runs, shorter.runs, strict=True))


def test_a_study_is_not_continued_on_other_images(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images")
    study = cv.study(experiment(folder, epochs=1), runs=1, out=tmp_path / "study")
    image = min(folder.rglob("*.png"))
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(errors.FolderError, match=r"000: this finished run .* other images"):
        cv.study(experiment(folder, epochs=1), runs=2, out=study.folder)
    assert not (study.folder / "runs" / "001").exists()
    assert len(cv.load_study(study.folder).runs) == 1
    image.write_bytes(content)
    longer = cv.study(experiment(folder, epochs=1), runs=2, out=study.folder)
    assert longer.runs[0].predictions.equals(study.runs[0].predictions)


def test_images_that_change_while_workers_train_end_a_study(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images")
    study = cv.study(experiment(folder, epochs=1), runs=2, out=tmp_path / "study")
    image = min(folder.rglob("*.png"))
    content = image.read_bytes()
    image.write_bytes(max(folder.rglob("*.png")).read_bytes())
    other = study.folder / "runs" / "001"
    shutil.rmtree(other)
    # As another process would train it, which reads the images by itself.
    changed = experiment(folder, epochs=1)
    seed = {"training": changed.training.model_copy(update={"seed": 6})}
    split = {"split": changed.split.model_copy(update={"allow_leak": True})}
    cv.train(changed.model_copy(update={**seed, **split}), other)
    (study.folder / "study.json").unlink()
    image.write_bytes(content)
    what = r"001: this run was trained on other images than 000, because .* while the study ran"
    with pytest.raises(errors.FolderError, match=what):
        cv.study(experiment(folder, epochs=1), runs=2, out=study.folder)
    shutil.rmtree(other)  # as the error says
    again = cv.study(experiment(folder, epochs=1), runs=2, out=study.folder)
    assert again.runs[1].predictions.equals(study.runs[1].predictions)


def test_a_study_is_continued_after_settings_were_added(images: Path, tmp_path: Path) -> None:
    study = cv.study(experiment(images, epochs=1), runs=1, out=tmp_path / "study")
    plan = json.loads((study.folder / ".plan.json").read_text())
    del plan["folds"], plan["experiments"][0]["experiment"]["training"]["tta"]
    (study.folder / ".plan.json").write_text(json.dumps(plan))
    mark = study.runs[0].folder / MARK  # as if killed when the run had ended
    mark.touch()
    longer = cv.study(experiment(images, epochs=1), runs=2, out=study.folder)
    assert [run.seed for run in longer.runs] == [5, 6]
    assert not mark.exists()


def test_another_studys_folder_is_refused(study: cv.Study, images: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(images, tmp_path / "moved")
    for changed, message in (
        (experiment(images, epochs=4), r"training\.epochs is 4, and was \d"),
        (experiment(moved), rf"dataset\.path is {moved}, and was {images}"),
    ):
        with pytest.raises(errors.FolderError, match=f"another study was .* here: {message}"):
            cv.study(changed, runs=3, out=study.folder, expert={"test": 0.93})
    two = {"a": experiment(images), "b": experiment(images, epochs=1)}
    with pytest.raises(errors.FolderError, match=r"its experiments are .*, not a, b"):
        cv.study(two, runs=3, out=study.folder)
    with pytest.raises(errors.FolderError, match="finished"):
        cv.study(experiment(images), runs=3, out=study.runs[0].folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(errors.FolderError, match=r"notes\.txt"):
        cv.study(experiment(images), runs=3, out=tmp_path / "other")
    assert len(cv.load_study(study.folder).runs) == 3


def test_a_study_needs_runs_and_experiments(images: Path, tmp_path: Path) -> None:
    for runs in (0, "2", 2.0, True, None):
        with pytest.raises(errors.ExperimentError, match="whole number") as caught:
            cv.study(experiment(images), runs=runs, out=tmp_path / "study")
        assert repr(runs) in caught.value.what
        assert "--" not in caught.value.hint
    with pytest.raises(errors.ExperimentError, match="for 'tset', but there is no such split"):
        cv.study(experiment(images), runs=1, out=tmp_path / "study", expert={"tset": 0.9})
    with pytest.raises(errors.UnknownPlugin, match="no control is called 'colour'"):
        cv.study(experiment(images), runs=1, out=tmp_path / "study", controls="colour")
    assert not (tmp_path / "study").exists()
    with pytest.raises(errors.ExperimentError, match="at least one experiment"):
        cv.study({}, runs=1, out=tmp_path / "study")


def test_an_impossible_experiment_is_found_before_the_first_training(
    images: Path, tmp_path: Path
) -> None:
    """An AlexNet needs larger images, and the last setting a validation split."""
    possible = tiny.experiment(images, "perceptron")
    small = tiny.experiment(images, "alexnet")
    with pytest.raises(errors.ArchitectureError, match="experiment 'alexnet'"):
        cv.study({"perceptron": possible, "alexnet": small}, 1, tmp_path / "study")
    keeps_best = possible.training.model_copy(update={"keep": "best"})
    no_validation = possible.model_copy(
        update={
            "training": keeps_best,
            "split": possible.split.model_copy(update={"validation": 0}),
        }
    )
    with pytest.raises(errors.ExperimentError, match=r"experiment 'best': .* need a validation"):
        cv.study({"last": possible, "best": no_validation}, 1, tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_failing_reporter_loses_no_run(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fails = {"type": "listener", "fails": ["epoch", "run", "study"]}
    failing = tiny.experiment(images, epochs=1, reporters=[fails])
    result = cv.study(failing, runs=2, out=tmp_path / "study")
    assert "no paper" in caplog.text
    assert len(cv.load_study(result.folder).runs) == 2


# --- several experiments -----------------------------------------------------------------


@pytest.mark.exhaustive
def test_several_experiments_keep_their_names(images: Path, tmp_path: Path) -> None:
    grid = {
        "null": tiny.experiment(images, "level", epochs=1),
        "50": tiny.experiment(images, {"type": "level", "width": 50}, epochs=1, seed=40),
    }
    study = cv.load_study(cv.study(grid, runs=2, out=tmp_path / "study").folder)
    assert study.names == ("null", "50")
    rows = study.table[study.table["split"] == "test"]
    assert list(rows["experiment"]) == ["null", "null", "50", "50"]
    assert list(rows["seed"]) == [0, 1, 40, 41]
    assert list(rows["run"]) == ["000", "001", "002", "003"]
    assert set(study.history["experiment"]) == {"null", "50"}
    assert study.runs[3].experiment.architecture.width == 50
    with pytest.raises(errors.FolderError, match="2 runs"):
        cv.study(grid, runs=3, out=study.folder)


# --- opening a study again ---------------------------------------------------------------


def test_folders_without_a_study(study: cv.Study, tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match=r"no finished study"):
        cv.load_study(tmp_path)
    with pytest.raises(errors.FolderError, match="this is a study"):
        cv.load_run(study.folder)
    with pytest.raises(errors.FolderError, match="this is the folder of a study, not of images"):
        cv.audit(study.folder)
    with pytest.raises(errors.FolderError, match="this is the folder of a run, not of images"):
        cv.audit(study.runs[0].folder)
    (tmp_path / ".plan.json").write_text("{}")
    with pytest.raises(errors.FolderError, match="a study that is not finished"):
        cv.load_run(tmp_path)
    for text, what in (("{", "cannot be read"), ('{"schema": 99}', "99")):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(errors.FolderError, match=what):
            cv.load_study(tmp_path)
    folder = shutil.copytree(study.folder, tmp_path / "damaged")
    (folder / "runs.csv").unlink()
    shutil.rmtree(folder / "runs" / "001")
    damaged = cv.load_study(folder)
    with pytest.raises(errors.FolderError, match=r"runs\.csv"):
        _ = damaged.table
    with pytest.raises(errors.FolderError, match="001"):
        _ = damaged.runs
