"""Tables of a study with one row per image or group: ``out_of_fold.csv`` and ``groups.csv``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellvision.results.group_table import group_table
from cellvision.results.tables import write_table
from cellvision.studies.ensemble import mean_predictions

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.study import Study, StudyExperiment


def write_image_tables(study: Study) -> None:
    """Write the out-of-fold predictions and, if groups are known, the answers for groups.

    Both are means over the runs of an experiment.

    Parameters
    ----------
    study
        A study whose runs are finished.
    """
    import pandas as pd

    out_of_fold = [
        _out_of_fold_rows(each) for each in study.experiments if each.out_of_fold is not None
    ]
    if out_of_fold:
        write_table(study.folder / "out_of_fold.csv", pd.concat(out_of_fold, ignore_index=True))
    groups = [
        _group_rows(each)
        for each in study.experiments
        if each.runs and each.runs[0].group_column is not None
    ]
    if groups:
        write_table(study.folder / "groups.csv", pd.concat(groups, ignore_index=True))


def _out_of_fold_rows(experiment: StudyExperiment) -> pd.DataFrame:
    table = experiment.example.predictions
    provenance = experiment.example.provenance.set_index("image")
    table.insert(3, "batch", provenance.loc[table["image"], "batch"].to_numpy())
    table.insert(1, "fold", table["image"].map(_fold_of_image(experiment)))
    table.insert(0, "experiment", experiment.name)
    return table.drop(columns="split")


def _fold_of_image(experiment: StudyExperiment) -> dict[str, int]:
    """Return the fold that tested each image, the first if several did."""
    folds: dict[str, int] = {}
    for run in experiment.fold_runs:
        table = run.predictions
        split: Any = run.metadata.experiment["split"]
        for image in table.loc[table["split"].isin(run.test_splits), "image"]:
            folds.setdefault(image, split["fold"])
    return folds


def _group_rows(experiment: StudyExperiment) -> pd.DataFrame:
    first = experiment.runs[0]
    table, probabilities = mean_predictions(experiment.runs)
    names = list(first.class_names)
    table["predicted"] = [names[number] for number in probabilities.argmax(axis=1)]
    table[[f"p_{name}" for name in names]] = probabilities
    rows = group_table(table, first.provenance, names)
    rows.insert(0, "experiment", experiment.name)
    return rows
