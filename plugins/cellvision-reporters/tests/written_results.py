"""Runs and studies with given predictions, written by the types that read them.

Their images are those of `cellvision.testing.SyntheticImages`, so that reporters read real pixels;
only the training is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cellvision as cv
from cellvision.results.metadata import (
    ControlDescription,
    Environment,
    ExperimentRecord,
    RunMetadata,
    RunRecord,
    StudyMetadata,
)
from cellvision.results.scores import Score
from cellvision.results.verdicts import VerdictFile
from cellvision.studies import verdict
from cellvision.studies.comparisons import compare_experiments
from cellvision.studies.ensemble import ensemble_records
from cellvision.testing import SyntheticImages, example_experiment

LEAKS: list[dict[str, Any]] = [
    {"kind": "shared_group", "splits": ["test", "train"], "files": ["a.png", "b.png"]},
    {"kind": "identical_pixels", "splits": ["test", "train"], "files": ["a.png", "c.png"]},
]
ODD_NAMES = ("<b>bold</b> & co", "Ωmega/λ 2", "a $price_1$", "a name | with a bar", "x" * 70)
CONTROLS = {
    name: ControlDescription(name=name, label=label, kind=kind, subject=subject)  # type: ignore[arg-type]
    for name, label, kind, subject in (
        ("permuted_groups", "labels permuted across groups", "permuted labels", "permuted labels"),
        ("intensity", "intensity alone", "lower rung", "brightness"),
        ("my_focus", "focus alone", "alternative explanation", "the focus"),
    )
}
"""Controls as a study records them."""

ENVIRONMENT = Environment(
    cellvision="0.1.0", python="3.12.1", keras="3.10.0", backend="tensorflow", precision="float32"
)


def write_run(
    folder: Path,
    names: Sequence[str] = ("control", "treated"),
    splits: Sequence[str] = ("train", "validation", "test"),
    *,
    n: int = 10,
    wrong: int = 3,
    epochs: int = 3,
    leaks: Sequence[dict[str, Any]] = (),
    group: str | None = "well",
    scale: float = 4095,
    absent: str | None = None,
    seed: int = 0,
    control: str | None = None,
    reporters: Sequence[Mapping[str, Any]] = (),
) -> cv.Run:
    """Write a run in which the first `wrong` images of each split are wrong."""
    folder.mkdir(parents=True)
    names = sorted(names)
    tables = [
        _predictions(split, names, n, wrong, absent if split == splits[-1] else None)
        for split in splits
    ]
    predictions = pd.concat(tables, ignore_index=True)
    if group is None:
        predictions["group"] = ""
    experiment = example_experiment(dataset=SyntheticImages(names=tuple(names)))
    settings = experiment.model_dump(mode="json")
    settings["training"] = {**settings["training"], "epochs": epochs, "seed": seed}
    settings["reporters"] = list(reporters)
    warnings = ["Mind <this>."] if control is None else [f"CONTROL {control}", "Mind <this>."]
    metadata = RunMetadata.model_validate(
        {
            "schema": 1,
            "experiment": settings,
            "plugins": {"cellvision.datasets:folder": "cellvision-datasets==0.1.0"},
            "environment": ENVIRONMENT,
            "seed": seed,
            "control": control,
            "class_names": names,
            "intensity_zero": 0.0,
            "intensity_scale": scale,
            "group_column": group,
            "counts": _counts(predictions, names),
            "scores": {split: _score(predictions, split, names, group) for split in splits},
            "warnings": warnings,
            "leaks": list(leaks),
        }
    )
    (folder / "run.json").write_text(metadata.to_json(), encoding="utf-8")
    (folder / "audit.json").write_text(json.dumps(_audit(metadata)), encoding="utf-8")
    _history(epochs, seed, "validation" in splits).to_csv(folder / "history.csv", index=False)
    predictions.to_csv(folder / "predictions.csv", index=False)
    provenance = predictions[["image", "group"]].assign(batch="")
    provenance.to_csv(folder / "provenance.csv", index=False)
    return cv.load_run(folder)


def mark_solved(run: cv.Run) -> cv.Run:
    """Change the record of a run: its network was solved exactly."""
    metadata = run.metadata.model_copy(update={"solved": True})
    (run.folder / "run.json").write_text(metadata.to_json(), encoding="utf-8")
    return cv.load_run(run.folder)


def _predictions(
    split: str, names: Sequence[str], n: int, wrong: int, absent: str | None
) -> pd.DataFrame:
    labels = [k % len(names) for k in range(n)]
    labels = [k for k in labels if names[k] != absent]
    rows = []
    for k, label in enumerate(labels):
        predicted = (label + 1) % len(names) if k < wrong else label
        shares = {f"p_{name}": 0.2 / max(len(names) - 1, 1) for name in names}
        shares[f"p_{names[predicted]}"] = 0.8
        rows.append(
            {
                "image": f"{split}/{names[label]}/{k:03}",
                "split": split,
                "group": f"w{k % 4}",
                "label": names[label],
                "predicted": names[predicted],
                **shares,
            }
        )
    return pd.DataFrame(rows)


def _counts(predictions: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, int]]:
    return {
        str(split): {name: int((rows["label"] == name).sum()) for name in names}
        for split, rows in predictions.groupby("split", sort=False)
    }


def _score(predictions: pd.DataFrame, split: str, names: Sequence[str], group: str | None) -> Score:
    rows = predictions[predictions["split"] == split]
    numbers = {name: number for number, name in enumerate(names)}
    labels = rows["label"].map(numbers).to_numpy()
    probabilities = rows[[f"p_{name}" for name in names]].to_numpy()
    groups = rows["group"].to_numpy() if group else None
    return Score.from_predictions(labels, probabilities, groups, 0.5)


def _history(epochs: int, seed: int, validated: bool) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    validation = 0.5 + 0.01 * epoch + 0.02 * seed if validated else np.nan
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "accuracy": 1 - 0.4 / epoch,
            "val_loss": validation,
            "val_accuracy": validation,
            "seconds": 1.0,
        }
    )


def _audit(metadata: RunMetadata) -> dict[str, Any]:
    refused = {"file": "<torn>.tif", "status": "refused", "reason": "cut short & torn"}
    read = {"file": "a.png", "status": "read", "dtype": "uint16", "bit_depth": 12}
    return {
        "class_names": list(metadata.class_names),
        "counts": metadata.counts,
        "group_column": metadata.group_column,
        "groups": dict.fromkeys(metadata.scores, 4),
        "batch": None,
        "files": [{**read, "reason": "", "shape": [12, 16, 1]}, {**refused, "shape": None}],
        "leaks": [leak.model_dump() for leak in metadata.leaks],
        "warnings": ["1 image cannot be read."],
    }


def write_study(
    folder: Path,
    experiments: Mapping[str, Mapping[str, Any]],
    runs: int = 3,
    expert: Mapping[str, float] | None = None,
    controls: Sequence[str] = (),
    **shared: Any,
) -> cv.Study:
    """Write a study; run k of an experiment has k wrong images more than its first run."""
    records, runs_of, tables, histories = [], [], [], []
    for name, settings in experiments.items():
        options = {"n": 20, "wrong": 4, **shared, **settings}
        first = options.pop("wrong")
        for k in range(runs):
            label = f"{len(tables):03}"
            run = write_run(folder / "runs" / label, wrong=first + k, seed=k, **options)
            runs_of.append(RunRecord(name=label, experiment=name, seed=k))
            rows = [{"split": split, **score.model_dump()} for split, score in run.scores.items()]
            tables.append(pd.DataFrame(rows).assign(run=label, experiment=name, seed=k))
            histories.append(run.history.assign(run=label, experiment=name))
            for control in controls:
                write_run(
                    folder / "runs" / f"{control}_{label}",
                    **{**options, "wrong": options["n"] // 2, "control": control, "seed": k},
                )
                record = {"name": f"{control}_{label}", "experiment": name, "seed": k}
                runs_of.append(RunRecord(**record, control=control))
        missing = tuple(name for name in CONTROLS if name not in controls)
        record_of = {"name": name, "experiment": run.metadata.experiment}
        records.append(ExperimentRecord(**record_of, missing_controls=missing))
    pd.concat(tables).to_csv(folder / "runs.csv", index=False)
    pd.concat(histories).to_csv(folder / "history.csv", index=False)
    metadata = StudyMetadata(
        experiments=tuple(records),
        seeds=tuple(range(runs)),
        expert=dict(expert or {}),
        runs=tuple(runs_of),
        controls=tuple(CONTROLS[name] for name in controls),
    )
    (folder / "study.json").write_text(metadata.to_json(), encoding="utf-8")
    ensembles = ensemble_records(cv.load_study(folder).experiments)
    metadata = metadata.model_copy(update={"ensembles": ensembles})
    (folder / "study.json").write_text(metadata.to_json(), encoding="utf-8")
    study = cv.load_study(folder)
    verdicts = VerdictFile(verdicts=verdict.study_verdicts(study), pairs=compare_experiments(study))
    (folder / "verdict.json").write_text(verdicts.to_json(), encoding="utf-8")
    return cv.load_study(folder)
