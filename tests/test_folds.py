"""Cross-validated studies: how images are divided, and what is pooled over folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from images import InMemory

import cellvision as cv
from cellvision import errors, statistics
from cellvision.cli import main
from cellvision.data.catalog import Catalog
from cellvision.data.fold_assignment import fold_splits
from cellvision.results.metadata import Environment, RunMetadata
from cellvision.results.pilot import pilot_of
from cellvision.results.scores import Score
from cellvision.studies.ensemble import ensemble_scores
from cellvision.studies.folds import plan_folds, requested_splitter, with_splitter
from cellvision.studies.group_answers import group_answers
from cellvision.studies.plan import PlannedRun, plan_runs
from cellvision.studies.pooled_runs import write_pooled_runs
from cellvision.studies.verdict import groups_and_batches, split_predictions


class Fixed(cv.Splitter):
    """Returns the folds that it is given."""

    assignments: tuple[tuple[str, ...], ...] = ()

    def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
        return self.assignments


def catalog(wells: int, images: int = 2, **columns: Any) -> Catalog:
    rows = wells * images
    table = {
        "image": [f"{k}.png" for k in range(rows)],
        "label": [("dark", "light")[k // images % 2] for k in range(rows)],
        "group": [f"w{k // images}" for k in range(rows)],
        **columns,
    }
    return Catalog.of(InMemory.of(table))


# --- dividing ------------------------------------------------------------------------------


@settings(max_examples=6)
@given(wells=st.integers(8, 12), folds=st.integers(2, 3), seed=st.integers(0, 99))
def test_every_image_is_tested_once_by_a_fold_that_lacks_its_group(
    wells: int, folds: int, seed: int
) -> None:
    whole = catalog(wells)
    splitter = cv.splitters.create("group_k_fold", k=folds, seed=seed)
    divided = fold_splits(splitter, whole, {})
    assert len(divided) == folds
    tested = np.sum([[split == "test" for split in fold] for fold in divided], axis=0)
    assert (tested == 1).all()
    for number, fold in enumerate(divided, start=1):
        table = cv.Split(splitter=splitter, fold=number).apply(whole).table
        assert list(table["split"]) == fold
        assert table.groupby("group")["split"].nunique().max() == 1
        assert set(table.loc[table["split"] == "train", "label"]) == {"dark", "light"}


def test_identical_images_stay_in_one_fold() -> None:
    whole = catalog(8)
    digests = {image: image for image in whole.table["image"]} | {"1.png": "15.png"}
    for fold in fold_splits(cv.splitters.create("group_k_fold", k=3), whole, digests):
        assert fold[1] == fold[15]


def test_images_that_a_fold_leaves_out_have_no_split() -> None:
    plates = [f"p{k // 2 % 4 // 2}" for k in range(16)]
    compounds = [f"c{k // 2}" for k in range(16)]
    whole = catalog(8, compound=compounds, plate=plates)
    splitter = cv.splitters.create(
        "leave_one_out", column="compound", not_same=("plate",), validation=0
    )
    divided = cv.Split(splitter=splitter, fold=1).apply(whole)
    table = divided.table
    assert set(table.loc[table["split"] == "test", "compound"]) == {"c0"}
    assert set(table.loc[table["split"] == "train", "plate"]) == {"p1"}
    left_out = table["split"].isna()
    assert left_out.sum() == 6
    assert divided.counts() == {
        "train": {"dark": 4, "light": 4},
        "test": {"dark": 2, "light": 0},
    }
    assert any("6 images are left out of fold 1" in line for line in divided.warnings)


def test_folds_replace_named_splits_with_a_warning() -> None:
    whole = catalog(8, split=["train"] * 12 + ["test"] * 4)
    divided = cv.Split(splitter=cv.splitters.create("group_k_fold", k=2)).apply(whole)
    assert any("replace the splits" in line for line in divided.warnings)


def test_a_fold_that_does_not_exist_is_an_error() -> None:
    split = cv.Split(splitter=cv.splitters.create("group_k_fold", k=2), fold=3)
    with pytest.raises(errors.SplitError, match=r"split\.fold is 3, and there are 2"):
        split.apply(catalog(8))


@pytest.mark.parametrize(
    ("fold", "error", "match"),
    [
        ((), errors.PluginContractError, "no fold"),
        ((("train",) * 15,), errors.PluginContractError, "15 splits for 16 images"),
        ((("train",) * 15 + ("hold",),), errors.PluginContractError, "names the split 'hold'"),
        ((("train",) * 15 + ("test",),), errors.PluginContractError, "divides the group"),
        ((("train",) * 16,), errors.SplitError, "no test image"),
        ((("train",) * 2 + ("test",) * 14,), errors.SplitError, "class 'light'"),
    ],
)
def test_what_a_splitter_returns_is_checked(
    fold: tuple[tuple[str, ...], ...], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        fold_splits(Fixed(assignments=fold), catalog(8), {})


# --- planning ------------------------------------------------------------------------------


def test_the_three_options_name_a_splitter() -> None:
    assert requested_splitter(None, None, None) is None
    assert requested_splitter(5, None, None) == cv.splitters.create("group_k_fold", k=5)
    assert requested_splitter(None, "compound", None) == cv.splitters.create(
        "leave_one_out", column="compound"
    )
    assert requested_splitter(None, None, "temporal") == cv.splitters.create("temporal")
    with pytest.raises(errors.ExperimentError, match="three ways"):
        requested_splitter(5, "compound", None)
    with pytest.raises(errors.ExperimentError, match="1 fold"):
        requested_splitter(1, None, None)
    with pytest.raises(errors.UnknownPlugin):
        requested_splitter(None, None, "nowhere")


def test_the_seed_of_the_split_divides_the_folds(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=24, wells=12)
    plain = tiny.experiment(images, "perceptron")
    dealt = []
    for seed in (0, 7):
        split = type(plain.split)(seed=seed)
        seeded = plain.model_copy(update={"split": split})
        splitter = with_splitter(seeded, requested_splitter(3, None, None)).split.splitter
        assert splitter is not None
        dealt.append(fold_splits(splitter, Catalog.of(plain.dataset), {}))
    assert dealt[0] != dealt[1]
    own = cv.splitters.create("group_k_fold", k=3, seed=0)
    kept = with_splitter(seeded, own).split.splitter
    assert fold_splits(kept, Catalog.of(plain.dataset), {}) == dealt[0]


def test_a_run_becomes_one_run_for_each_fold_grouped_by_fold(tmp_path: Path) -> None:
    with tiny.on_offer():
        one = with_splitter(tiny.experiment(tmp_path), cv.splitters.create("group_k_fold", k=2))
    intensity = {"intensity": cv.controls.create("intensity")}
    controls = {"a": intensity, "b": intensity}
    planned = plan_folds(plan_runs({"a": one, "b": one}, 2, controls), {"a": 2})
    names = [run.name for run in planned]
    assert names[:3] == ["000_fold01", "001_fold01", "intensity_000_fold01"]
    assert names[3:6] == ["000_fold02", "001_fold02", "intensity_000_fold02"]
    assert names[6:] == ["002", "003", "intensity_002"]
    assert [run.experiment.split.fold for run in planned] == [1, 1, 1, 2, 2, 2, 1, 1, 1]
    assert [run.fold for run in planned[5:]] == [2, None, None, None]


# --- pooling -------------------------------------------------------------------------------


def write_fold(
    folder: Path, fold: int, tested: Sequence[int], probability: float, **recorded: Any
) -> None:
    """Write a run that tests some of eight images and trains on the others."""
    folder.mkdir(parents=True)
    numbers = list(range(8))
    right = np.where(np.arange(8) % 2 == 0, probability, 1 - probability)
    table = pd.DataFrame(
        {
            "image": [f"{k}.png" for k in numbers],
            "split": ["test" if k in tested else "train" for k in numbers],
            "group": [f"w{k}" for k in numbers],
            "label": [("dark", "light")[k % 2] for k in numbers],
            "predicted": ["dark" if p >= 0.5 else "light" for p in right],
            "p_dark": right,
            "p_light": 1 - right,
        }
    )
    table.to_csv(folder / "predictions.csv", index=False)
    compounds = [f"c{k // 4 * 2 + k % 2}" for k in numbers]  # one class each
    provenance = table[["image", "group"]].assign(batch="p1", compound=compounds)
    provenance.to_csv(folder / "provenance.csv", index=False)
    history = {"epoch": [1, 2], "loss": [fold, 1], "accuracy": 0.5, "val_loss": np.nan}
    pd.DataFrame({**history, "val_accuracy": np.nan, "seconds": 1}).to_csv(
        folder / "history.csv", index=False
    )
    (folder / "audit.json").write_text('{"counts": {}, "groups": {}}')
    labels = np.array(numbers) % 2
    score = Score.from_predictions(labels, np.stack([right, 1 - right], axis=1), None, 0.5)
    metadata = RunMetadata(
        experiment={
            "dataset": {"type": "folder"},
            "preprocessing": {},
            "architecture": "x",
            "split": {"fold": fold},
        },
        environment=Environment(cellvision="0", python="3", backend="jax", precision="float32"),
        seed=0,
        class_names=("dark", "light"),
        intensity_zero=0,
        intensity_scale=255,
        group_column="well",
        counts={"train": {"dark": 1}, "test": {"dark": 1}},
        scores={"train": score.model_copy(update={"accuracy": fold / 4}), "test": score},
        warnings=("Everywhere.", *(("Here.",) if fold == 1 else ())),
    )
    (folder / "run.json").write_text(metadata.model_copy(update=recorded).to_json())


def planned_run(experiment: cv.Experiment, seed: int, fold: int) -> PlannedRun:
    return PlannedRun(f"{seed:03}_fold{fold:02}", "net", experiment, seed, fold=fold)


def pool(tmp_path: Path, splitter: cv.Splitter | None = None) -> tuple[cv.Run, cv.Run]:
    """Return the pooled run of seed 0, and the mean over two seeds."""
    with tiny.on_offer():
        experiment = with_splitter(tiny.experiment(tmp_path), splitter)
    planned = [planned_run(experiment, seed, fold) for fold in (1, 2) for seed in (0, 1)]
    for run in planned:
        tested = range(3) if run.fold == 1 else range(3, 8)
        # Seed 1 is surer of the right answer than seed 0 is of the wrong one.
        assert run.fold is not None
        write_fold(tmp_path / "runs" / run.name, run.fold, tested, (0.4, 0.9)[run.seed])
    records, means = write_pooled_runs(tmp_path, planned)
    assert [record.name for record in records] == ["000", "001"]
    folder = tmp_path / "out_of_fold"
    return cv.load_run(folder / "000"), cv.load_run(folder / means["net"])


@pytest.fixture
def pooled(tmp_path: Path) -> tuple[cv.Run, cv.Run]:
    return pool(tmp_path)


@pytest.mark.parametrize(
    ("column", "unit", "groups"), [("compound", "compound", 4), ("well", "well", 8)]
)
def test_what_folds_leave_out_is_the_independent_unit(
    column: str, unit: str, groups: int, tmp_path: Path
) -> None:
    splitter = cv.splitters.create("leave_one_out", column=column)
    for run in pool(tmp_path, splitter):
        assert run.unit_column == unit
        assert run.group_column == "well"
        score = run.scores["test"]
        assert (score.groups, score.groups_scored) == (groups, 8)
        table = run.predictions.merge(run.provenance[["image", "compound"]], on="image")
        units = table["compound"] if unit == "compound" else table["group"]
        interval = statistics.cross_validated_accuracy(table["predicted"] == table["label"], units)
        assert (score.accuracy_low, score.accuracy_high) == (interval.low, interval.high)
        independent, _ = groups_and_batches(run, split_predictions(run, "test"))
        assert independent is not None
        assert list(independent) == list(units)
        # Every well has one image, so answers for wells are as uncertain as those for images.
        assert (score.group_accuracy_low, score.group_accuracy_high) == (
            interval.low,
            interval.high,
        )
        answers = group_answers([run], "test")
        assert (answers["group_accuracy_low"], answers["groups_scored"]) == (interval.low, 8)
        ensemble = ensemble_scores([run, run])["test"]
        assert (ensemble.groups, ensemble.accuracy_low) == (groups, interval.low)
        assert pilot_of(run).images == 8 / groups
        if unit == "compound":  # mean of the folds, which trained on three and on two compounds
            assert run.scores["train"].groups == round((3 + 2) / 2)


def test_a_pooled_run_predicts_every_image_once(pooled: tuple[cv.Run, cv.Run]) -> None:
    run, _ = pooled
    table = run.predictions
    assert list(table["image"]) == [f"{k}.png" for k in range(8)]
    assert set(table["split"]) == {"test"}
    assert run.cross_validated
    score = run.scores["test"]
    assert (score.n, score.groups, score.accuracy) == (8, 8, 0)
    correct, groups = table["predicted"] == table["label"], table["group"]
    interval = statistics.cross_validated_accuracy(correct, groups)
    assert (score.accuracy_low, score.accuracy_high) == (interval.low, interval.high)
    assert run.scores["train"].accuracy == pytest.approx((1 + 2) / 8)  # mean over folds
    assert run.history["loss"].tolist() == [1.5, 1]
    assert run.warnings == ("Everywhere.", "Here. (1 of 2 folds)")


def test_the_mean_over_seeds_has_their_mean_probabilities(pooled: tuple[cv.Run, cv.Run]) -> None:
    _, mean = pooled
    assert mean.predictions["p_dark"].iloc[0] == pytest.approx(0.65)
    assert mean.scores["test"].accuracy == 1
    groups = pd.read_csv(mean.folder / "groups.csv")
    assert list(groups["group"]) == [f"w{k}" for k in range(8)]
    assert (groups["predicted"] == groups["label"]).all()
    assert (groups["batch"] == "p1").all()


@pytest.mark.parametrize(
    ("kept", "solved", "interrupted", "expected"),
    [
        ((1, 2), (True, False), (False, True), (None, False, True)),
        ((2, 2), (True, True), (False, False), (2, True, False)),
    ],
)
def test_a_pooled_run_claims_only_what_all_folds_share(
    kept: tuple[int, int],
    solved: tuple[bool, bool],
    interrupted: tuple[bool, bool],
    expected: tuple[int | None, bool, bool],
    tmp_path: Path,
) -> None:
    with tiny.on_offer():
        experiment = tiny.experiment(tmp_path)
    planned = [planned_run(experiment, 0, fold) for fold in (1, 2)]
    for k, run in enumerate(planned):
        recorded = {"kept_epoch": kept[k], "solved": solved[k], "interrupted": interrupted[k]}
        tested = (range(3), range(3, 8))[k]
        write_fold(tmp_path / "runs" / run.name, k + 1, tested, 0.9, **recorded)
    write_pooled_runs(tmp_path, planned)
    metadata = cv.load_run(tmp_path / "out_of_fold" / "000").metadata
    assert (metadata.kept_epoch, metadata.solved, metadata.interrupted) == expected


def test_a_pooled_run_counts_its_networks_that_did_not_train(tmp_path: Path) -> None:
    """Each fold tests images of one class, so only the other images show who did not train."""
    with tiny.on_offer():
        experiment = tiny.experiment(tmp_path)
    planned = [planned_run(experiment, seed, fold) for seed in (0, 1) for fold in (1, 2)]
    for run, tested in zip(planned, 2 * [range(0, 8, 2), range(1, 8, 2)], strict=True):
        write_fold(tmp_path / "runs" / run.name, run.fold or 0, tested, 0.9)
    file = tmp_path / "runs" / planned[1].name / "predictions.csv"
    constant = pd.read_csv(file).assign(predicted="dark", p_dark=0.6, p_light=0.4)
    constant.to_csv(file, index=False)
    records, means = write_pooled_runs(tmp_path, planned)
    names = [*(record.name for record in records), means["net"]]
    runs = [cv.load_run(tmp_path / "out_of_fold" / name) for name in names]
    assert [run.metadata.untrained_networks for run in runs] == [1, 0, 1]


def test_a_pooled_run_has_no_network_and_says_where_they_are(
    pooled: tuple[cv.Run, cv.Run],
) -> None:
    with pytest.raises(errors.FolderError, match="pooled over 2 folds"):
        pooled[0].model()


# --- a whole study -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, tiny.on_offer():
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def study(plugins: None, tmp_path_factory: pytest.TempPathFactory) -> cv.Study:
    root = tmp_path_factory.mktemp("folds")
    images = tiny.make_folder(root / "images", count=16, wells=8)
    settings: dict[str, Any] = {"group": "well", "epochs": 4, "reporters": None}
    return cv.study(
        tiny.experiment(images, **settings),
        runs=2,
        out=root / "study",
        folds=2,
        controls=["permuted_groups", "intensity"],
    )


@pytest.mark.slow
def test_a_cross_validated_study_judges_out_of_fold_predictions(study: cv.Study) -> None:
    (verdict,) = study.verdicts
    assert (verdict.cross_validated, verdict.folds, verdict.folds_by) == (True, 2, "well")
    assert (verdict.n, verdict.groups, verdict.runs) == (32, 16, 2)
    assert "widened 1.3 times" in verdict.interval
    assert {control.control: control.runs for control in verdict.controls} == {
        "permuted_groups": 2,
        "intensity": 1,
    }
    assert sorted(set(study.table["fold"])) == [1, 2]
    assert len(study.table[study.table["split"] == "test"]) == 4
    table = study.out_of_fold
    assert len(table) == 32
    assert table["image"].is_unique
    assert len(study.groups) == 16
    (experiment,) = study.experiments
    tested = {
        image: int(run.folder.name[-2:])
        for run in experiment.fold_runs
        for image in run.predictions.loc[run.predictions["split"] == "test", "image"]
    }
    assert dict(zip(table["image"], table["fold"], strict=True)) == tested


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_a_study_that_leaves_donors_out_counts_donors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tiny.make_folder(tmp_path / "images", count=16, wells=8)
    wells = pd.read_csv(images / "groups.csv")
    number = wells["well"].str.extract(r"(\d+)$")[0].astype(int)
    donors = wells["well"].str.rstrip("0123456789") + (number % 2).astype(str)
    wells.assign(donor=donors).to_csv(images / "groups.csv", index=False)
    settings = ["dataset.group=well", "architecture=level", "training.epochs=1", "reporters=[]"]
    changes = [word for setting in settings for word in ("--set", setting)]
    words = ["study", str(images), "--out", str(tmp_path / "out"), "--runs", "1", *changes]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--leave-out", "donor", "--control", "permuted_groups"])
    assert ended.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "4 folds by donor, 32 images, 4 groups (donor)." in printed
    assert "; of 16 groups (well) " in printed
    study = cv.load_study(tmp_path / "out")
    (verdict,), (experiment,) = study.verdicts, study.experiments
    assert (verdict.groups, verdict.groups_scored, verdict.groups_left_out) == (4, 16, 0)
    (control,) = experiment.controls["permuted_groups"]
    table = control.predictions_of("test")  # wells exchanged labels, so wells are permuted
    over_wells = statistics.permutation_test(table["label"], table["predicted"], table["group"])
    assert verdict.controls[0].p == over_wells.p


@pytest.mark.slow
def test_reporters_show_out_of_fold_predictions(study: cv.Study) -> None:
    names = {artifact.path.name for artifact in study.artifacts}
    assert {"confusion_test.png", "panel_test.png", "controls.png", "learning.png"} <= names
    assert not [entry.fault for entry in study.reports if entry.fault]
    page = (study.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "2 folds by well, 32 images, 16 wells" in page
    assert "../out_of_fold.csv" in page


@pytest.mark.slow
def test_predict_averages_the_networks_of_all_folds(study: cv.Study) -> None:
    image = study.experiments[0].example.dataset.path / "dark" / "s0.png"  # type: ignore[attr-defined]
    table = cv.predict(study, image)
    assert table["model"].iloc[0] == "mean of 4 runs"
    alone = [cv.predict(run, image)["p_dark"].iloc[0] for run in study.experiments[0].fold_runs]
    assert table["p_dark"].iloc[0] == pytest.approx(np.mean(alone), abs=1e-6)


@pytest.mark.slow
def test_predict_states_how_far_it_can_be_trusted(
    study: cv.Study, caplog: pytest.LogCaptureFixture
) -> None:
    folder = study.experiments[0].example.dataset.path  # type: ignore[attr-defined]
    table = cv.predict(study, folder, by="well", trust=True)
    # Sixteen groups are enough for sets and answers, and too few for the flag.
    assert {"prediction_set", "answer"} <= set(table.columns)
    pooled = study.experiments[0].out_of_fold
    assert pooled is not None
    probabilities = pooled.predictions[["p_dark", "p_light"]].to_numpy()
    numbers = (pooled.predictions["label"] == "light").to_numpy(np.int64)
    sets = statistics.fit_prediction_sets(
        numbers, probabilities, pooled.predictions["group"].to_numpy()
    )
    inside = sets.sets(table[["p_dark", "p_light"]].to_numpy())
    expected = ["; ".join(np.array(["dark", "light"])[row]) for row in inside]
    assert table["prediction_set"].tolist() == expected
    assert "unlike" not in table.attrs["groups"]
    said = " ".join(caplog.messages)
    assert "fitted on out-of-fold predictions of 16 groups" in said
    assert "no flag for unlike groups: 16 groups to flag unlike ones" in said
    assert "prediction_set" not in cv.predict(study, folder)
    fold = study.experiments[0].fold_runs[0]
    with pytest.raises(errors.ExperimentError, match="are too few to say"):
        cv.predict(fold, folder, trust=True)


@pytest.mark.exhaustive
def test_the_same_command_extends_a_cross_validated_study(study: cv.Study) -> None:
    experiment = study.experiments[0].fold_runs[0].experiment
    base = with_splitter(experiment, None).model_copy(
        update={"split": experiment.split.model_copy(update={"splitter": None, "fold": 1})}
    )
    options: dict[str, Any] = {"folds": 2, "controls": ["permuted_groups", "intensity"]}
    times = {path: path.stat().st_mtime_ns for path in study.folder.glob("runs/*/run.json")}
    again = cv.study(base, runs=2, out=study.folder, **options)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert again.verdicts == study.verdicts
    with pytest.raises(errors.FolderError, match="another study"):
        cv.study(base, runs=2, out=study.folder, folds=3)


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_the_command_states_the_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tiny.make_folder(tmp_path / "images", count=8, wells=4)
    settings = ["dataset.group=well", "architecture=level", "training.epochs=1", "reporters=[]"]
    changes = [word for setting in settings for word in ("--set", setting)]
    words = ["study", str(images), "--out", str(tmp_path / "out"), "--runs", "1", *changes]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--splitter", "group_k_fold", "--set", "split.splitter.k=2"])
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert "2 folds by well, 16 images, 8 groups." in printed.out
    for number in (1, 2):
        assert f"run {number}/2 (fold {number}/2, seed 0)  epoch 1/1" in printed.err
