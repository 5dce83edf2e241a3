"""Evaluation of trained networks on labelled images that came later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import tiny
from command_line import command
from fsspec.implementations.memory import MemoryFileSystem

import cellvision as cv
from cellvision import errors
from cellvision.inference.engines.keras_engine import KerasEngine
from cellvision.statistics import Odometer
from cellvision.studies.looks import VARIABLE


@pytest.fixture(autouse=True, scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tiny networks, a separate cache and a separate log of looks."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch, tiny.on_offer():
        patch.setenv("CELLVISION_CACHE", str(folder / "cache"))
        patch.setenv(VARIABLE, str(folder / "looks.jsonl"))
        yield folder / "looks.jsonl"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images") / "images")


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    experiment = tiny.experiment(images, epochs=2, group="well", reporters=None)
    return cv.train(experiment, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def study(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Study:
    experiment = tiny.experiment(images, "mixed", epochs=1, group="well")
    return cv.study(experiment, out=tmp_path_factory.mktemp("study") / "study", runs=2)


def make_plate(root: Path, seed: int, classes: Sequence[str] = ("dark", "light")) -> Path:
    """Write noisy images of new wells."""
    rows = ["file,well"]
    for number, name in enumerate(classes):
        for k in range(8):
            pixels = tiny.pixels(tiny.BRIGHTNESS[name], seed + 100 * number + k, 40)
            tiny.write(root / name / f"s{k}.png", pixels)
            rows.append(f"{name}/s{k}.png,{root.name}_{name}{k % 4}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root


def copy_split(run: cv.Run, images: Path, split: str, target: Path) -> Path:
    """Copy the images of a run's split to a folder with the same classes and wells."""
    wanted = run.predictions_of(split)["image"]
    for name in wanted:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(images / name, target / name)
    groups = pd.read_csv(images / "groups.csv")
    groups[groups["file"].isin(wanted)].to_csv(target / "groups.csv", index=False)
    return target


def test_the_scores_of_its_own_test_images_are_those_of_the_run(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    evaluation = cv.evaluate(
        run, copy_split(run, images, "test", tmp_path / "test"), tmp_path / "e"
    )
    recorded, score = run.scores["test"], evaluation.scores["test"]
    assert score.groups == recorded.groups == 4
    assert score.loss == pytest.approx(recorded.loss, abs=1e-5)
    assert score.model_copy(update={"loss": None}) == recorded.model_copy(update={"loss": None})
    assert evaluation.metadata.test_sets == run.metadata.test_sets
    own = run.predictions_of("test").reset_index(drop=True)
    new = evaluation.predictions.sort_values("image", ignore_index=True)
    own = own.sort_values("image", ignore_index=True)
    assert list(new.columns) == list(own.columns)
    pd.testing.assert_frame_equal(new, own, atol=1e-5, check_dtype=False)
    groups = pd.read_csv(tmp_path / "e" / "groups.csv")
    recorded_groups = pd.read_csv(run.folder / "groups.csv").query("split == 'test'")
    assert list(groups["group"]) == list(recorded_groups["group"])
    assert not any("training or validation split" in line for line in evaluation.warnings)


def test_the_folder_says_what_was_evaluated_and_has_the_reports_of_a_test_set(
    run: cv.Run, tmp_path: Path
) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    evaluation = cv.evaluate(run.folder, plate, tmp_path / "e", engine="keras")
    record = json.loads((tmp_path / "e" / "evaluation.json").read_text(encoding="utf-8"))
    assert record["schema"] == 1
    assert record["model"] == record["networks"][0]["folder"] == str(run.folder)
    assert record["networks"][0]["digest"] == cv.io.file_digest(run.folder / "model.keras")
    assert record["images"] == str(plate)
    assert record["dataset"]["group"] == record["group_column"] == "well"
    assert record["counts"] == {"plate_2": {"dark": 8, "light": 8}}
    assert record["engine"].startswith("keras ")
    assert record["trained"]["scores"].keys() == run.scores.keys()
    reports = {path.name for path in (tmp_path / "e" / "reports").iterdir()}
    assert {"panel_plate_2.png", "confusion_plate_2.png", "report.html"} <= reports
    assert not [each for each in evaluation.reports if each.fault]
    page = (tmp_path / "e" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "Evaluation e" in page
    assert "1 network, trained before, classified 16 images from 8 wells of plate_2" in page
    assert "Permutation test" in page
    assert "cellvision study" not in page
    reopened = cv.load_evaluation(tmp_path / "e")
    assert reopened.scores == evaluation.scores
    assert repr(reopened).startswith("<Evaluation ")
    assert reopened.history.empty
    assert reopened.test_splits == ("plate_2",)


def test_images_and_network_of_a_reopened_evaluation(run: cv.Run, tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    cv.evaluate(run, plate, tmp_path / "e")
    evaluation = cv.load_evaluation(tmp_path / "e")
    names = list(evaluation.predictions["image"])
    pixels = evaluation.model_input(names).astype("float32")
    probabilities = evaluation.model().predict(pixels, verbose=0)
    np.testing.assert_allclose(probabilities, tiny.probabilities(evaluation.predictions), atol=1e-5)
    tiny.write(plate / names[0], tiny.pixels(99, 1))
    with pytest.raises(errors.UnreadableImage, match="changed"):
        evaluation.read_image(names[0])


def test_an_unknown_class_is_named_with_those_that_the_network_knows(
    run: cv.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    tiny.write(plate / "mutant" / "s0.png", tiny.pixels(90, 1))
    assert command("evaluate", run.folder, plate, "--out", tmp_path / "e") == 2
    error = capsys.readouterr().err
    assert f"{plate}: the network does not know the class 'mutant' (1 image)" in error
    assert "it knows 'dark', 'light'" in error
    assert not (tmp_path / "e").exists()


def test_a_folder_may_lack_a_class(run: cv.Run, tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000, ["light"])
    evaluation = cv.evaluate(run, plate, tmp_path / "e")
    score = evaluation.scores["plate_2"]
    assert evaluation.class_names == ("dark", "light")
    assert evaluation.counts == {"plate_2": {"dark": 0, "light": 8}}
    assert score.n == 8
    assert score.accuracy == score.balanced_accuracy == score.classes["light"].recall
    assert score.classes["dark"].recall is None
    assert "Split 'plate_2' has no image of class 'dark'." in evaluation.warnings
    assert not [each for each in evaluation.reports if each.fault]


def test_images_without_class_folders_are_for_predict(
    run: cv.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000) / "light"
    for path in (plate, plate / "s0.png"):
        assert command("evaluate", run.folder, path, "--out", tmp_path / "e") == 2
        error = capsys.readouterr().err
        assert f"{path}: " in error
        assert "no labels to score" in error
        assert f"cellvision predict {run.folder} {path} --out" in error
    with pytest.raises(errors.FolderError, match="missing: there is no such folder"):
        cv.evaluate(run, tmp_path / "missing", tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_unknown_groups_are_a_warning(run: cv.Run, tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    (plate / "groups.csv").unlink()
    evaluation = cv.evaluate(run, plate, tmp_path / "e")
    assert evaluation.group_column is None
    assert evaluation.scores["plate_2"].groups is None
    assert not (tmp_path / "e" / "groups.csv").exists()
    lines = "\n".join(evaluation.warnings)
    assert "There is no column 'well', which names the group of the training images" in lines
    assert "images are treated as independent" in lines


def test_images_of_the_training_are_counted_and_marked(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    for name in list(run.predictions_of("train")["image"])[:2]:
        shutil.copyfile(images / name, plate / Path(name).parent / f"again_{Path(name).name}")
        with (plate / "groups.csv").open("a") as file:
            file.write(f"{Path(name).parent.as_posix()}/again_{Path(name).name},dark1\n")
    evaluation = cv.evaluate(run, plate, tmp_path / "e")
    assert "2 of 18 images are of the training or validation split" in evaluation.warnings[0]
    assert "1 of 9 groups (well) has the name of a group of the training" in evaluation.warnings[1]
    assert len(evaluation.record.leaks) == 2
    assert cv.banners(evaluation).leak == (
        "LEAK: training and plate_2 share identical images (2). The scores are too optimistic."
    )
    page = (tmp_path / "e" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "LEAK: training and plate_2" in page


def test_a_study_is_averaged(study: cv.Study, tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    evaluation = cv.evaluate(study, plate, tmp_path / "e", engine="keras")
    record = evaluation.record
    assert record.averaged == "mean of 2 runs"
    assert record.experiment == study.names[0]
    assert [network.seed for network in record.networks] == [run.seed for run in study.runs]
    singly = [
        cv.evaluate(each, plate, tmp_path / each.folder.name, engine="keras").predictions
        for each in study.runs
    ]
    mean = np.mean([tiny.probabilities(table) for table in singly], axis=0)
    np.testing.assert_allclose(tiny.probabilities(evaluation.predictions), mean, atol=1e-6)
    with pytest.raises(errors.FolderError, match="mean over 2 networks"):
        evaluation.model()
    with pytest.raises(errors.ExperimentError, match="no experiment 'other'"):
        cv.evaluate(study, plate, tmp_path / "other", experiment="other")


def test_orientations_are_averaged(run: cv.Run, tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    evaluation = cv.evaluate(run, plate, tmp_path / "e", tta=True)
    assert evaluation.record.averaged == "mean of 8 orientations"
    table = cv.predict(run, plate, tta=True)
    names = [Path(name).relative_to(plate).as_posix() for name in table["image"]]
    expected = tiny.probabilities(table.assign(image=names).sort_values("image"))
    own = tiny.probabilities(evaluation.predictions.sort_values("image"))
    np.testing.assert_allclose(own, expected, atol=1e-6)


def test_splits_of_a_data_set_are_scored_apart(run: cv.Run, tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    rows = [
        f"plate_2/{name}/s{k}.png,{name},{('train', 'week_2')[k % 2]}"
        for name in ("dark", "light")
        for k in range(8)
    ]
    table = tmp_path / "images.csv"
    table.write_text("file,label,split\n" + "\n".join(rows) + "\n")
    assert command("evaluate", run.folder, table, "--out", tmp_path / "e") == 0
    evaluation = cv.load_evaluation(tmp_path / "e")
    assert set(evaluation.scores) == {"evaluated_train", "week_2"}
    assert evaluation.test_splits == tuple(evaluation.scores)
    assert [score.n for score in evaluation.scores.values()] == [8, 8]
    named = cv.evaluate(run, cv.datasets.create("table", path=table), tmp_path / "named")
    assert named.scores == evaluation.scores
    assert (
        command("evaluate", run.folder, plate, "--dataset", "table", "--out", tmp_path / "no") == 2
    )


def test_several_folders_are_evaluated_one_by_one(
    run: cv.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plates = [make_plate(tmp_path / f"plate_{k}", 1000 * k) for k in (2, 3)]
    assert command("evaluate", run.folder, *plates, "--out", tmp_path / "e") == 0
    output = capsys.readouterr().out
    for plate in plates:
        score = cv.load_evaluation(tmp_path / "e" / plate.name).scores[plate.name]
        assert f"{plate.name}  16      8     {score.accuracy:.3f}" in output
        assert str(tmp_path / "e" / plate.name / "reports" / "report.html") in output
    assert "Guessing at random gives 0.500" in output
    again = make_plate(tmp_path / "other" / "plate_2", 7000)
    assert command("evaluate", run.folder, plates[0], again, "--out", tmp_path / "f") == 2
    assert "several folders are called 'plate_2'" in capsys.readouterr().err


def test_a_finished_evaluation_is_kept_and_its_reports_are_made_again(
    run: cv.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    out = tmp_path / "e"
    assert command("evaluate", run.folder, plate, "--out", out) == 0
    assert command("evaluate", run.folder, plate, "--out", out) == 2
    assert f"{out}: this folder holds a finished evaluation" in capsys.readouterr().err
    shutil.rmtree(out / "reports")
    assert command("report", out) == 0
    assert str(out / "reports" / "panel_plate_2.png") in capsys.readouterr().out
    for verb in ("predict", "evaluate"):
        assert command(verb, out, plate, "--out", tmp_path / "new.csv") == 2
        assert "this is an evaluation, which has no network" in capsys.readouterr().err
    with pytest.raises(errors.FolderError, match="has no network"):
        cv.predict(cv.load_evaluation(out), plate)
    assert command("evaluate", run.folder, plate, "--out", plate) == 2
    assert "this folder holds other files" in capsys.readouterr().err


def test_unreadable_files_are_refused_or_left_out(
    run: cv.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = make_plate(tmp_path / "plate_2", 5000)
    (plate / "dark" / "s0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    words = ["evaluate", run.folder, plate, "--out", tmp_path / "e"]
    assert command(*words) == 2
    assert "dark/s0.png" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()
    assert command(*words, "--skip-unreadable") == 0
    evaluation = cv.load_evaluation(tmp_path / "e")
    assert evaluation.scores["plate_2"].n == len(evaluation.predictions) == 15
    assert any("1 unreadable file is left out: dark/s0.png" in w for w in evaluation.warnings)
    assert evaluation.audit is not None
    refused = [file.file for file in evaluation.audit.files if file.status == "refused"]
    assert refused == ["dark/s0.png"]


def test_evaluations_are_looks(run: cv.Run, study: cv.Study, tmp_path: Path, log: Path) -> None:
    plate = make_plate(tmp_path / "plate_2", 40_000)
    first = cv.evaluate(run, plate, tmp_path / "a")
    cv.evaluate(run, plate, tmp_path / "b")  # the same network again is the same look
    digest = first.record.test_sets["plate_2"]
    assert Odometer(log).count(digest).looks == first.record.looks["plate_2"].looks == 1
    assert first.record.tests["plate_2"].p == first.record.tests["plate_2"].unadjusted_p
    other = cv.evaluate(study, plate, tmp_path / "c")
    assert other.record.looks["plate_2"].settings == 2
    line = "plate_2: look 2 of this test set, by 2 settings: p is multiplied by the looks."
    assert line in other.warnings
    test = other.record.tests["plate_2"]
    assert test.p == min(2 * test.unadjusted_p, 1.0) > test.unadjusted_p


def test_p_is_adjusted_for_looks_on_the_terminal_and_the_page(
    run: cv.Run, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = make_plate(tmp_path / "plate_2", 50_000)
    deeper = tiny.experiment(images, epochs=1, group="well", reporters=None)
    second = cv.train(deeper, tmp_path / "second")
    assert command("evaluate", run.folder, plate, "--out", tmp_path / "a") == 0
    assert "plate_2: permutation test p = 0.014\n" in capsys.readouterr().out
    assert command("evaluate", second.folder, plate, "--out", tmp_path / "b") == 0
    test = cv.load_evaluation(tmp_path / "b").record.tests["plate_2"]
    text = f"p = {test.unadjusted_p:.2g}, adjusted for test sets and looks {test.p:.2g}"
    assert text in capsys.readouterr().out
    page = (tmp_path / "b" / "reports" / "report.html").read_text(encoding="utf-8")
    page = page.replace("\xa0", " ")
    assert f"p = {test.unadjusted_p:.2g}, adjusted p = {test.p:.2g}" in page
    assert "2, by 2 settings" in page


def test_p_is_adjusted_for_the_test_sets_of_an_evaluation(run: cv.Run, tmp_path: Path) -> None:
    make_plate(tmp_path / "plate_2", 60_000)
    rows = [
        f"plate_2/{name}/s{k}.png,{name},{name}{k},week_{k % 2}"
        for name in ("dark", "light")
        for k in range(8)
    ]
    table = tmp_path / "images.csv"
    table.write_text("file,label,well,split\n" + "\n".join(rows) + "\n")
    evaluation = cv.evaluate(run, table, tmp_path / "e")
    tests = evaluation.record.tests
    assert list(tests) == ["week_0", "week_1"]
    unadjusted = [test.unadjusted_p for test in tests.values()]
    assert [test.p for test in tests.values()] == cv.statistics.holm(unadjusted)
    for split, test in tests.items():
        rows_of = evaluation.predictions_of(split)
        own = cv.statistics.permutation_test(
            rows_of["label"], rows_of["predicted"], rows_of["group"]
        )
        assert own.p == test.unadjusted_p < test.p


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2}', '{"schema": 1}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(errors.FolderError, match=r"evaluation\.json"):
        cv.load_evaluation(tmp_path)
    with pytest.raises(errors.FolderError, match="there is no such folder"):
        cv.load_evaluation(tmp_path / "missing")


def test_reporters_have_the_settings_of_the_training(images: Path, tmp_path: Path) -> None:
    chosen = (cv.reporters.create("panel", images=4), cv.reporters.create("listener"))
    experiment = tiny.experiment(images, epochs=1, group="well", reporters=chosen)
    run = cv.train(experiment, tmp_path / "run")
    evaluation = cv.evaluate(run, make_plate(tmp_path / "plate_2", 5000), tmp_path / "e")
    (panel,) = evaluation.record.reporters  # the listener is not enabled by default
    assert (panel["type"], panel["images"]) == ("panel", 4)
    assert [each.path.name for each in evaluation.artifacts] == ["panel_plate_2.png"]


@pytest.mark.slow
def test_units_are_what_the_folds_of_the_study_left_out(tmp_path: Path) -> None:
    def make_plates(root: Path, plates: Sequence[str]) -> Path:
        rows = ["file,well,plate"]
        for p, plate in enumerate(plates):
            for name, level in tiny.BRIGHTNESS.items():
                for k in range(4):
                    file = f"{name}/{plate}_{k}.png"
                    tiny.write(root / file, tiny.pixels(level, 100 * p + 10 * level + k, 40))
                    rows.append(f"{file},{name}{k % 2},{plate}")
        (root / "groups.csv").write_text("\n".join(rows) + "\n")
        return root

    images = make_plates(tmp_path / "images", ["p1", "p2", "p3"])
    experiment = tiny.experiment(images, epochs=1, group="well")
    study = cv.study(experiment, out=tmp_path / "study", runs=1, leave_out="plate")
    later = make_plates(tmp_path / "later", ["q1", "q2"])
    evaluation = cv.evaluate(study, later, tmp_path / "e", engine="keras")
    assert len(evaluation.record.networks) == len(study.experiments[0].networks) == 3
    assert (evaluation.group_column, evaluation.unit_column) == ("well", "plate")
    assert not evaluation.cross_validated
    score = evaluation.scores["later"]
    assert (score.n, score.groups, score.groups_scored) == (16, 2, 8)
    right = evaluation.predictions.eval("predicted == label").to_numpy()
    interval = cv.statistics.accuracy_interval(right, evaluation.provenance["plate"].to_numpy())
    assert (score.accuracy_low, score.accuracy_high) == (interval.low, interval.high)


def test_images_and_results_on_remote_storage(run: cv.Run, tmp_path: Path) -> None:
    MemoryFileSystem.store.clear()
    storage = fsspec.filesystem("memory")
    plate = make_plate(tmp_path / "plate_2", 5000)
    storage.put(str(plate), "/bucket/plate_2", recursive=True)
    words = ("memory://bucket/plate_2", "--out", "memory://bucket/evaluations/first")
    assert command("evaluate", run.folder, *words, "--engine", "keras") == 0
    evaluation = cv.load_evaluation("memory://bucket/evaluations/first")
    assert evaluation.record.images == "memory://bucket/plate_2"
    assert evaluation.scores == cv.evaluate(run, plate, tmp_path / "e", engine="keras").scores
    assert evaluation.read_image("dark/s0.png").shape == (tiny.SIDE, tiny.SIDE, 1)
    assert storage.exists("/bucket/evaluations/first/reports/panel_plate_2.png")
    MemoryFileSystem.store.clear()


def test_group_names_that_a_data_set_makes_are_no_groups_of_the_training(tmp_path: Path) -> None:
    def make_fields(root: Path, seed: int) -> Path:
        rows = ["file,group"]
        for number, (name, level) in enumerate(tiny.BRIGHTNESS.items()):
            for k in range(12):
                tiny.write(root / name / f"s{k}.png", tiny.pixels(level, seed + 100 * number + k))
                rows.append(f"{name}/s{k}.png,{name}_field_{k // 2}")
        (root / "groups.csv").write_text("\n".join(rows) + "\n")
        return root

    experiment = tiny.experiment(make_fields(tmp_path / "images", 0), epochs=1)
    run = cv.train(experiment, tmp_path / "run")
    evaluation = cv.evaluate(run, make_fields(tmp_path / "new", 5000), tmp_path / "e")
    assert evaluation.scores["new"].groups == 12
    assert not any("name of a group" in line for line in evaluation.warnings)


def test_several_folders_share_one_engine(
    run: cv.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Counted(KerasEngine):
        def __init__(self, run: cv.Run) -> None:
            started.append(run.folder)
            super().__init__(run)

    monkeypatch.setattr("cellvision.inference.engines.selection.KerasEngine", Counted)
    plates = [make_plate(tmp_path / f"plate_{k}", 1000 * k) for k in (5, 6, 7)]
    words = ("evaluate", run.folder, *plates, "--engine", "keras", "--out", tmp_path / "e")
    assert command(*words) == 0
    assert started == [run.folder]
    alone = cv.evaluate(run, plates[2], tmp_path / "alone", engine="keras")
    together = cv.load_evaluation(tmp_path / "e" / "plate_7")
    assert together.scores == alone.scores
    assert together.record.engine == alone.record.engine
    pd.testing.assert_frame_equal(together.predictions, alone.predictions)


def test_an_interrupted_evaluation_leaves_nothing(
    run: cv.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    plate = make_plate(tmp_path / "plate", 11)
    monkeypatch.setattr("cellvision.evaluation.write.record_evaluation", interrupt)
    assert command("evaluate", run.folder, plate, "--out", tmp_path / "out") == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plate"]
