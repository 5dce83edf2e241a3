"""Reporter ``tables``: scores, classes and counts as CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, Reporter, io
from cellvision_reporters.figures.banners import banners, leak_banner
from cellvision_reporters.figures.intervals import accuracy_interval
from cellvision_reporters.figures.phrasing import (
    accuracy_sentence,
    format_groups,
    format_interval,
    format_number,
    majority_fraction,
)
from cellvision_reporters.figures.selection import shown_splits
from cellvision_reporters.figures.tables import markdown_table, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study


class Tables(Reporter):
    """Scores of each split beside chance, of each class, and image counts; CSV and Markdown."""

    enabled_by_default: ClassVar[bool] = True

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Write ``tables.md`` and one CSV each for scores, classes and counts."""
        scores, counts, classes = score_table(run), count_table(run), class_table(run)
        return [
            Artifact(
                write_csv(folder / "tables_scores.csv", scores),
                "Scores",
                "table",
                "Accuracy and balanced accuracy of each split with the 95 % interval of the "
                "accuracy. Chance: one over the number of classes. Majority fraction: the "
                "accuracy of always predicting the most common class.",
                order=40,
            ),
            Artifact(
                write_csv(folder / "tables_classes.csv", classes),
                "Classes",
                "table",
                "Precision, recall and F1 of each class on the test images; the 95 % interval "
                "is that of the recall, over groups where they are known.",
                order=45,
            ),
            Artifact(
                write_csv(folder / "tables_counts.csv", counts),
                "Images",
                "table",
                "Images of each class in each split.",
                order=410,
            ),
            Artifact(
                io.write_text(folder / "tables.md", _run_text(run, scores, classes, counts)),
                "Tables for reading",
                "data",
                order=900,
            ),
        ]

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Write the scores of every run: ``tables.md`` and ``tables_scores.csv``."""
        table = study.table
        rounded = _rounded(table)
        lines = ["# Every run", "", *_notes(study), markdown_table(rounded), ""]
        complete = table.assign(leak=leak_banner(study))
        artifacts = [
            Artifact(
                write_csv(folder / "tables_scores.csv", complete),
                "Every run",
                "table",
                "Scores of each run on each split.",
                order=800,
            ),
            Artifact(
                io.write_text(folder / "tables.md", "\n".join(lines)),
                "Every run, for reading",
                "data",
                order=900,
            ),
        ]
        classes = _study_class_table(study)
        if not classes.empty:
            caption = (
                "Precision, recall and F1 of each class on the test images, for the first run of "
                "each experiment, or for its out-of-fold predictions; the 95 % interval is that of "
                "the recall."
            )
            path = write_csv(folder / "tables_classes.csv", classes)
            artifacts.insert(0, Artifact(path, "Classes", "table", caption, order=45))
        return artifacts


def score_table(run: Run) -> pd.DataFrame:
    """Return one row per split: scores, chance, and the fraction of the most common class."""
    import pandas as pd

    counts = run.counts
    rows = [
        {
            "split": split,
            "n": score.n,
            "groups": score.groups,
            "accuracy": score.accuracy,
            "accuracy_low": score.accuracy_low,
            "accuracy_high": score.accuracy_high,
            "group_accuracy": score.group_accuracy,
            "group_accuracy_low": score.group_accuracy_low,
            "group_accuracy_high": score.group_accuracy_high,
            "balanced_accuracy": score.balanced_accuracy,
            "loss": score.loss,
            "chance": 1 / len(run.class_names),
            "majority_fraction": majority_fraction(counts.get(split, {})),
            "leak": leak_banner(run),
        }
        for split, score in run.scores.items()
    ]
    return pd.DataFrame(rows)


def class_table(run: Run) -> pd.DataFrame:
    """Return one row per shown split and class: precision, recall, F1, n and interval.

    The interval is the 95 % interval of the recall. Precision is NaN for a class that is never
    predicted, and recall is NaN for a class without images.
    """
    import pandas as pd

    predictions = run.predictions
    rows = [
        {"split": split, **row}
        for split in shown_splits(run, None)
        for row in _class_rows(run, predictions[predictions["split"] == split])
    ]
    return pd.DataFrame(rows)


def _class_rows(run: Run, rows: pd.DataFrame) -> list[dict[str, Any]]:
    import numpy as np
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        rows["label"], rows["predicted"], labels=list(run.class_names), zero_division=np.nan
    )
    table = []
    for index, name in enumerate(run.class_names):
        images = rows[rows["label"] == name]
        low = high = np.nan
        groups = run.independent_units(images["image"])
        if len(images):
            right = (images["predicted"] == name).to_numpy()
            interval = accuracy_interval(run, images["image"], right)
            low, high = interval.low, interval.high
        table.append(
            {
                "class": name,
                "n": int(support[index]),
                "groups": None if groups is None else len(set(groups)),
                "predicted": int((rows["predicted"] == name).sum()),
                "precision": precision[index],
                "recall": recall[index],
                "recall_low": low,
                "recall_high": high,
                "f1": f1[index],
            }
        )
    return table


def _study_class_table(study: Study) -> pd.DataFrame:
    import pandas as pd

    tables = [
        class_table(experiment.example).assign(experiment=experiment.name)
        for experiment in study.experiments
        if experiment.test_splits
    ]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return table[["experiment", *table.columns.drop("experiment")]]


def count_table(run: Run) -> pd.DataFrame:
    """Return one row per class and one column per split: numbers of images."""
    import pandas as pd

    table = pd.DataFrame({"class": list(run.class_names)})
    for split, by_class in run.counts.items():
        # A split may have any name, also "class".
        values = [by_class.get(name, 0) for name in run.class_names]
        table.insert(len(table.columns), split, values, allow_duplicates=True)
    return table


def _notes(results: Run | Study) -> list[str]:
    return [item for line in banners(results) for item in (f"**{io.escape_markdown(line)}**", "")]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    rounded = table.copy()
    for name in table.select_dtypes("float").columns:
        rounded[name] = table[name].map(format_number)
    return rounded


def _run_text(run: Run, scores: pd.DataFrame, classes: pd.DataFrame, counts: pd.DataFrame) -> str:
    column = run.unit_column
    lines = ["# Scores", "", *_notes(run)]
    for split in run.test_splits:
        sentence = accuracy_sentence(split, run.scores[split], column, len(run.class_names))
        lines += [io.escape_markdown(sentence), ""]
    lines += [markdown_table(_readable_scores(run, scores)), ""]
    lines.append(
        "Chance: one over the number of classes. Most common class: the accuracy of always "
        "predicting it."
    )
    if column is not None:
        sentence = f"Groups: distinct values of {column!r}; the interval is over groups."
        lines.append(io.escape_markdown(sentence))
    lines += ["", "# Classes", "", markdown_table(_rounded(classes)), ""]
    lines += ["# Images", "", markdown_table(counts), ""]
    if run.warnings:
        warnings = [f"- {io.escape_markdown(line)}" for line in run.warnings]
        lines += ["# Warnings", "", *warnings, ""]
    return "\n".join(lines)


def _readable_scores(run: Run, scores: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "split": scores["split"],
            "n": scores["n"],
            "groups": [
                format_groups(score.groups, run.unit_column) for score in run.scores.values()
            ],
            "accuracy": scores["accuracy"].map(format_number),
            "95 % interval": [
                format_interval(score.accuracy_low, score.accuracy_high)
                for score in run.scores.values()
            ],
            "accuracy of groups": scores["group_accuracy"].map(format_number),
            "balanced accuracy": scores["balanced_accuracy"].map(format_number),
            "chance": scores["chance"].map(format_number),
            "most common class": scores["majority_fraction"].map(format_number),
            "loss": scores["loss"].map(format_number),
        }
    )
