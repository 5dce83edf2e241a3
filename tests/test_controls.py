"""Controls: what they change, how they are marked, and how studies with them resume."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.data.groups import canonical_groups
from cellvision.data.prepared import prepare_data
from cellvision.statistics import max_t_test
from cellvision.studies.controls import with_changed_images, with_changed_labels

pytestmark = pytest.mark.usefixtures("tiny_plugins")

CONTROLS = ("permuted_groups", "permuted_images", "background", "intensity")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five dark and five light wells in the test set: 252 arrangements."""
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=20, wells=10)


def experiment(images: Path, **changes: Any) -> cv.Experiment:
    parameters = {"epochs": 4, "split": {"validation": 0, "test": 0.5}, **changes}
    return tiny.experiment(images, "level", group="well", **parameters)


@pytest.fixture(scope="module")
def study(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Study:
    """A study that many tests share."""
    out = tmp_path_factory.mktemp("whole") / "study"
    reporters = [{"type": name} for name in ("summary", "boxplot", "controls", "html")]
    return cv.study(experiment(images, reporters=reporters), 2, out, controls=CONTROLS)


def test_python_runs_the_ladder(images: Path, tmp_path: Path) -> None:
    alone = experiment(images, reporters=(), epochs=1)
    climbed = cv.study(alone, 1, tmp_path / "study", ladder=True, controls=["permuted_groups"])
    assert {"intensity", "permuted_groups"} <= set(climbed.controls)
    assert "background" not in climbed.controls


# --- what a control may see ------------------------------------------------------------


class Spelled(cv.Dataset):
    """Wells spelled in two ways; image 1 of every well is in both splits."""

    def catalog(self) -> pd.DataFrame:
        rows = [
            (f"{well}-{k}", "dark" if well < 6 else "light", split, name)
            for well in range(12)
            for k, split, name in [
                (0, "train", f"A0{well}"), (1, "train", f"A0{well}"),
                (1.5, "test", f"a{well}"), (2, "test", f"a{well}"),
            ]
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["image", "label", "split", "group"])

    def read(self, image: str) -> np.ndarray:
        well, _, k = image.partition("-")
        return np.full((8, 8, 1), 10 * int(well) + int(float(k)), np.uint8)


@pytest.mark.slow
def test_what_a_split_keeps_together_is_permuted_together() -> None:
    split = cv.Split(validation=0, allow_leak=True)
    size = cv.Preprocessing(size=(8, 8), channels="gray")
    prepared = prepare_data(
        cv.Experiment(dataset=Spelled(), architecture="level", split=split, preprocessing=size)
    )
    for control, together in (
        ("permuted_groups", canonical_groups),
        ("permuted_images", lambda _: prepared.catalog.table["image"].str.replace(".5", "")),
    ):
        changed = with_changed_images(cv.controls.create(control), prepared)
        table = with_changed_labels(cv.controls.create(control), changed, 3).catalog.table
        keys = together(prepared.catalog.table["group"])
        assert table["label"].groupby(keys).nunique().max() == 1
        assert (table["label"] != prepared.catalog.table["label"]).any()


# --- a study with controls ---------------------------------------------------------------


@pytest.mark.slow
def test_runs_and_tables_hold_no_control(study: cv.Study) -> None:
    assert [run.folder.name for run in study.runs] == ["000", "001"]
    assert set(study.table["run"]) == set(study.history["run"]) == {"000", "001"}
    head = (study.folder / "runs.csv").read_text().splitlines()[0].split(",")
    assert head[:6] == ["run", "experiment", "seed", "split", "accuracy", "loss"]
    assert list(study.controls) == list(CONTROLS)
    assert {name: len(runs) for name, runs in study.controls.items()} == {
        **dict.fromkeys(CONTROLS, 2),
        "intensity": 1,
    }
    table = study.control_table
    assert set(table["control"]) == set(CONTROLS)
    assert set(study.control_history["control"]) == set(CONTROLS) - {"intensity"}
    assert len(pd.read_csv(study.folder / "reports" / "summary.csv")) == 2


@pytest.mark.slow
def test_a_control_is_marked_and_complete(study: cv.Study) -> None:
    for name, runs in study.controls.items():
        for run, true in zip(runs, study.runs, strict=False):
            assert run.control == name
            assert run.folder.name == f"{name}_{true.folder.name}"
            assert run.seed == true.seed
            assert run.warnings[0].startswith("CONTROL")
            assert run.metadata.experiment == true.metadata.experiment
            assert list(run.predictions["image"]) == list(true.predictions["image"])
            assert len(run.history) == (0 if name == "intensity" else len(true.history))
    assert all(run.control is None for run in study.runs)


@pytest.mark.slow
def test_permuted_runs_are_trained_and_judged_on_their_own_labels(study: cv.Study) -> None:
    first, second = study.controls["permuted_groups"]
    true = study.runs[0].predictions
    for run in (first, second):
        drawn = run.predictions
        assert drawn.groupby("group")["label"].nunique().max() == 1
        assert (drawn["label"] != true["label"]).any()
        for split, counts in run.counts.items():
            assert counts == study.runs[0].counts[split]
        rows = drawn[drawn["split"] == "test"]
        right = (rows["label"] == rows["predicted"]).mean()
        assert run.scores["test"].accuracy == pytest.approx(right)
    assert list(first.predictions["label"]) != list(second.predictions["label"])
    by_image = study.controls["permuted_images"][0].predictions
    assert by_image.groupby("group")["label"].nunique().max() == 2


@pytest.mark.slow
def test_the_background_run_shows_what_it_saw(study: cv.Study) -> None:
    (background, _), true = study.controls["background"], study.runs[0]
    some = list(true.predictions["image"][:3])
    stored = true.model_input(some)
    control = cv.controls.create("background")
    masked = np.stack([control.change_image(image) for image in stored])
    np.testing.assert_array_equal(background.model_input(some), masked)
    # Its model answers on masked pixels as its predictions say.
    answers = np.asarray(background.model().predict_on_batch(masked.astype(np.float32)))
    np.testing.assert_allclose(
        answers, tiny.probabilities(background.predictions)[:3], rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_brightness_alone_is_recognised(study: cv.Study) -> None:
    """The classes differ in brightness and nothing else, so intensity does as well."""
    (verdict,) = study.verdicts
    stored = json.loads((study.folder / "verdict.json").read_text())["verdicts"][0]
    assert json.loads(verdict.to_json()) == stored
    assert (verdict.experiment, verdict.split) == ("level", "test")
    assert (verdict.n, verdict.groups, verdict.group_column) == (20, 10, "well")
    assert verdict.p >= verdict.smallest_p == pytest.approx(1 / 252)
    assert verdict.missing_controls == ("texture",)
    by_name = {each.control: each for each in verdict.controls}
    assert by_name["intensity"].accuracy == 1.0
    assert by_name["intensity"].kind == "lower rung"
    assert by_name["intensity"].p == verdict.smallest_p
    # Ten wells cannot show that a difference is below the margin.
    assert by_name["intensity"].finding == "open"
    assert verdict.word == "learned, open"
    assert "brightness" in verdict.sentence
    assert by_name["permuted_groups"].kind == "permuted labels"
    assert by_name["permuted_groups"].finding == "no leak"
    difference = by_name["intensity"].difference
    assert difference is not None
    assert difference.low <= difference.estimate <= 0
    run = study.runs[0].predictions
    rows = run[run["split"] == "test"]
    right = sum(
        (r.predictions["label"] == r.predictions["predicted"])[rows.index] for r in study.runs
    )
    assert verdict.accuracy == pytest.approx((right / 2).mean())


@pytest.mark.slow
def test_the_reports_show_the_controls(study: cv.Study) -> None:
    reports = study.folder / "reports"
    assert {"controls.png", "images_background.png", "report.html"} <= {
        p.name for p in reports.iterdir()
    }
    page = (reports / "report.html").read_text(encoding="utf-8")
    (verdict,) = study.verdicts
    answer = page[page.index('class="answer') : page.index("</section>")]
    for text in (verdict.sentence[1:], "20 from 10 wells", "Control: intensity alone"):
        assert text in answer
    assert page.index("<main>") < page.index(answer) < page.index("<h2>")


# --- interruptions -----------------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_study_killed_during_its_controls_resumes(
    study: cv.Study, images: Path, tmp_path: Path
) -> None:
    cv.save_experiment(experiment(images), tmp_path / "experiment.json")
    folder = tmp_path / "study"
    words = ["study", str(tmp_path / "experiment.json"), "--runs", "2", "--controls"]
    started = tiny.process(*words, "--out", str(folder))
    assert started.stderr is not None
    assert any("permuted_images, seed 1" in line for line in started.stderr)
    started.kill()
    started.communicate()
    assert started.returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")}
    assert 5 <= len(done) < 9
    again = cv.study(experiment(images), 2, folder, controls=True)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    for name, runs in study.controls.items():
        for one, other in zip(runs, again.controls[name], strict=True):
            assert one.predictions.equals(other.predictions)
    assert set(again.controls) == {*CONTROLS, "texture"}
    assert again.verdicts[0].missing_controls == ()
    assert again.verdicts[0].controls[:4] == study.verdicts[0].controls


@pytest.mark.slow
def test_controls_can_be_added_but_not_removed(
    study: cv.Study, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(study.folder, tmp_path / "study")
    settings = cv.save_experiment(
        experiment(images, reporters=study.runs[0].experiment.reporters), tmp_path / "a.json"
    )
    for path in folder.glob("runs/*_*"):
        shutil.rmtree(path)
    (folder / "study.json").unlink()
    plan = json.loads((folder / ".plan.json").read_text())
    (folder / ".plan.json").write_text(json.dumps({**plan, "controls": []}))
    mtimes = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")}
    with pytest.raises(SystemExit) as end:
        main(
            ["study", str(settings), "--runs", "2", "--out", str(folder), "--control", "intensity"]
        )
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Verdict: {cv.load_study(folder).verdicts[0].sentence}" in said
    assert "Controls not run: permuted_groups, permuted_images, background" in said
    assert {path: path.stat().st_mtime_ns for path in mtimes} == mtimes
    with pytest.raises(errors.FolderError, match="control 'intensity' was started"):
        cv.study(cv.load_experiment(settings), 2, folder)


@pytest.mark.slow
def test_a_control_that_does_not_exist_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownPlugin, match="no control is called 'colour'") as caught:
        cv.study(experiment(images), 1, tmp_path / "study", controls=["colour"])
    assert "permuted_groups" in caught.value.hint
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_each_experiment_and_test_set_has_its_verdict(images: Path, tmp_path: Path) -> None:
    grid = {
        "one": experiment(images, epochs=1),
        "two": experiment(images, epochs=2, seed=7),
    }
    result = cv.study(grid, 1, tmp_path / "study", controls=["intensity"])
    assert [verdict.experiment for verdict in result.verdicts] == ["one", "two"]
    # Both were judged on the same images, so each p is adjusted for both.
    tables = {name: run.predictions for name, run in zip(grid, result.runs, strict=True)}
    rows = {name: table[table["split"] == "test"] for name, table in tables.items()}
    adjusted = max_t_test(
        rows["one"]["label"].to_numpy(),
        {name: table["predicted"].to_numpy()[None] for name, table in rows.items()},
        rows["one"]["group"].to_numpy(),
    )
    for verdict in result.verdicts:
        assert verdict.unadjusted_p is not None
        assert verdict.p == pytest.approx(
            max(verdict.unadjusted_p, adjusted[verdict.experiment].adjusted_p)
        )
    assert [run.folder.name for run in result.controls["intensity"]] == [
        "intensity_000",
        "intensity_001",
    ]
    assert [verdict.controls[0].accuracy for verdict in result.verdicts] == [1.0, 1.0]
