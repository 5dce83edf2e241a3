"""Reports on pooled folds: over what folds leave out, and wider than those of one test set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cellvision_reporters.page.single_run import single_run_verdict
from written_results import write_run

import cellvision as cv
from cellvision import statistics
from cellvision.progress import Display
from cellvision.results.reporting import make_reports
from cellvision.results.scores import Score


@pytest.fixture
def run(tmp_path: Path) -> cv.Run:
    """Return out-of-fold predictions of six donors with four wells of three images each."""
    written = write_run(tmp_path / "run", splits=("test",), n=72, wrong=20)
    number = np.arange(72)
    predictions = written.predictions.assign(group=[f"w{k // 3}" for k in number])
    donors = np.array([f"d{k // 12}" for k in number])
    probabilities = predictions[["p_control", "p_treated"]].to_numpy()
    score = Score.from_predictions(
        (predictions["label"] == "treated").to_numpy(np.int64),
        probabilities,
        predictions["group"].to_numpy(),
        0.5,
        units=donors,
        cross_validated=True,
    )
    predictions.to_csv(written.folder / "predictions.csv", index=False)
    plates = [f"p{k // 12 % 2}" for k in number]
    provenance = predictions[["image", "group"]].assign(batch=plates, donor=donors)
    provenance.to_csv(written.folder / "provenance.csv", index=False)
    changes = {"folds": 6, "left_out_column": "donor", "batch_column": "plate"}
    metadata = written.metadata.model_copy(update={**changes, "scores": {"test": score}})
    (written.folder / "run.json").write_text(metadata.to_json(), encoding="utf-8")
    return cv.load_run(written.folder)


def test_units_that_folds_leave_out_are_known_groups(tmp_path: Path) -> None:
    written = write_run(tmp_path / "run", n=12, group=None)
    assert "Groups unknown" in cv.banners(written).groups
    metadata = written.metadata.model_copy(update={"folds": 6, "left_out_column": "donor"})
    (written.folder / "run.json").write_text(metadata.to_json(), encoding="utf-8")
    run = cv.load_run(written.folder)
    assert cv.banners(run).groups == ""
    assert "donor" in run._repr_html_()


def donors_of(run: cv.Run) -> np.ndarray:
    return run.provenance["donor"].to_numpy()


def write_answers(run: cv.Run, target: Path) -> Path:
    """Write the answers of an expert who sees every image twice, and errs once."""
    table = run.predictions[["image", "split", "group", "label"]]
    table = table.assign(rater="Ana", answer=table["label"], seconds=1.0, time="t")
    table.loc[0, "answer"] = "treated"
    again = table.assign(repeat=2, answer=table["label"])
    pd.concat([table.assign(repeat=1), again]).to_csv(target, index=False)
    return target


@pytest.mark.slow
def test_intervals_are_over_what_folds_leave_out(run: cv.Run, out: Path) -> None:
    labels, predicted = (run.predictions[name].to_numpy() for name in ("label", "predicted"))
    donors = donors_of(run)
    for name in ("metrics", "tables"):
        cv.reporters.create(name).run(run, out)
    metrics = pd.read_csv(out / "metrics_test.csv", index_col="metric")
    expected = statistics.classification_metrics(labels, predicted, donors).mcc.widened(
        1.3, (-1, 1)
    )
    assert metrics.loc["MCC", ["low", "high"]].tolist() == pytest.approx(
        [expected.low, expected.high]
    )
    classes = pd.read_csv(out / "tables_classes.csv", index_col="class")
    treated = labels == "treated"
    recall = statistics.cross_validated_accuracy(predicted[treated] == "treated", donors[treated])
    assert classes.loc["treated", "groups"] == 6
    assert classes.loc["treated", ["recall_low", "recall_high"]].tolist() == pytest.approx(
        [recall.low, recall.high]
    )
    assert "6 donors" in (out / "tables.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_expert_is_compared_over_what_folds_leave_out(
    run: cv.Run, tmp_path: Path, out: Path
) -> None:
    answers = write_answers(run, tmp_path / "answers.csv")
    cv.reporters.create("expert", answers=answers).run(run, out)
    record = json.loads((out / "expert.json").read_text(encoding="utf-8"))
    (comparison,), (agreement,) = record["comparisons"], record["agreement"]
    assert comparison["network"]["groups"] == comparison["difference"]["groups"] == 6
    assert "from 6 donors" in comparison["sentence"]
    first = np.array(["treated", *run.predictions["label"][1:]])
    kappa = statistics.cohen_kappa(first, run.predictions["label"], groups=donors_of(run))
    assert (agreement["low"], agreement["high"]) == pytest.approx((kappa.low, kappa.high))


@pytest.mark.slow
def test_curves_and_the_worst_batch_are_wider(run: cv.Run, out: Path) -> None:
    cv.reporters.create("probabilities").run(run, out)
    (areas,) = (pd.read_csv(path, index_col="class") for path in out.glob("*.csv"))
    table, donors = run.predictions, donors_of(run)
    probabilities = table[["p_control", "p_treated"]].to_numpy()
    names = ("control", "treated")
    curve = statistics.roc_curve(table["label"], probabilities, donors, class_names=names)[1]
    area = curve.auc.widened(1.3)
    assert areas.loc["treated", ["roc_auc_low", "roc_auc_high"]].tolist() == pytest.approx(
        [area.low, area.high], abs=1e-6
    )
    make_reports(run, [cv.reporters.create("html")], Display())
    page = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    right = table["label"] == table["predicted"]
    plates = run.provenance["batch"]
    plain, _ = statistics.batch_accuracies(right, plates, donors)
    worst, _ = statistics.batch_accuracies(right, plates, donors, cross_validated=True)
    assert f"{plain.accuracy.low:.2f}" != f"{worst.accuracy.low:.2f}"
    assert f"together {worst.accuracy.low:.2f}–{worst.accuracy.high:.2f}" in page
    verdict = single_run_verdict(run, "test")
    assert (verdict.accuracy.low, verdict.accuracy.high) == (
        *(run.scores["test"].accuracy_low, run.scores["test"].accuracy_high),
    )
