"""The reporter ``metrics``: which metric comes first, and its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score, matthews_corrcoef
from written_results import write_run, write_study

import cellvision as cv
from cellvision import errors

CLASSES = ("early", "late", "mid")


def rows_of(run: cv.Run) -> pd.DataFrame:
    table = run.predictions
    return table[table["split"] == "test"]


def metrics(run: cv.Run, **settings: Any) -> pd.DataFrame:
    reporter = cv.reporters.create("metrics", **settings)
    return reporter.table(run, "test").set_index("metric")  # type: ignore[attr-defined]


def test_the_values_are_those_of_scikit_learn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", CLASSES, n=33, wrong=8)
    rows = rows_of(run)
    order = ("early", "mid", "late")
    table = metrics(run, ordered_classes=order, costs={"late": {"early": 3.0}})
    truth, answer = rows["label"], rows["predicted"]
    rank = {name: number for number, name in enumerate(order)}
    expected = {
        "balanced accuracy": balanced_accuracy_score(truth, answer),
        "accuracy": (truth == answer).mean(),
        "MCC": matthews_corrcoef(truth, answer),
        "macro F1": f1_score(truth, answer, average="macro"),
        "weighted kappa": cohen_kappa_score(truth.map(rank), answer.map(rank), weights="quadratic"),
        "expected cost": 3 * ((truth == "late") & (answer == "early")).mean(),
    }
    assert table["value"].to_dict() == pytest.approx(expected)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_the_suitable_metric_comes_first(tmp_path: Path, out: Path) -> None:
    equal = write_run(tmp_path / "equal", n=20, wrong=4)
    assert list(metrics(equal).index) == ["accuracy", "balanced accuracy", "MCC", "macro F1"]
    assert metrics(equal, costs={"control": {"treated": 1}}).index[0] == "expected cost"
    assert metrics(equal, ordered_classes=["treated", "control"]).index[0] == "weighted kappa"
    (artifact,) = cv.reporters.create("metrics").run(equal, out)
    assert artifact.caption.startswith("Accuracy comes first because all classes have about")
    assert "Metrics Reloaded" in artifact.caption


def test_unequal_classes_put_balanced_accuracy_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", n=20, wrong=4)
    table = run.predictions
    rare = (table["label"] == "treated") & (table["split"] == "test")
    table.drop(table.index[rare][:6]).to_csv(run.folder / "predictions.csv", index=False)
    changed = cv.load_run(run.folder)
    assert rows_of(changed)["label"].value_counts().tolist() == [10, 4]
    assert list(metrics(changed).index)[:2] == ["balanced accuracy", "accuracy"]


def test_a_study_reports_each_experiment(tmp_path: Path, out: Path) -> None:
    study = write_study(tmp_path / "study", {"a": {}, "b": {"wrong": 8}}, runs=2)
    artifacts = cv.reporters.create("metrics").study(study, out)
    assert [each.title for each in artifacts] == ["Metrics: a, test", "Metrics: b, test"]
    assert "first of 2 runs" in artifacts[0].caption


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ordered_classes": ["control"]}, "'treated' is missing"),
        ({"costs": {"control": {"other": 1}}}, "no class 'other'"),
    ],
)
def test_settings_that_do_not_fit_the_classes_are_errors(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(errors.ExperimentError, match=message):
        metrics(run, **settings)
