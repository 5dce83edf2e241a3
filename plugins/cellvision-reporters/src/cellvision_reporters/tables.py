"""Scores and counts as tables, for people (Markdown) and for programs (CSV)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Reporter, atomic_io
from cellvision_reporters.figures.banners import leak_stamp, stamps
from cellvision_reporters.figures.phrasing import interval, majority, number, sentence

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

_COLUMNS = (
    *("split", "n", "groups", "accuracy", "accuracy_low", "accuracy_high"),
    *("balanced_accuracy", "loss", "chance", "majority_share", "leak"),
)


class Tables(Reporter):
    """Scores of each split beside chance, and images by class and split; CSV and Markdown."""

    enabled_by_default: ClassVar[bool] = True

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Write ``tables.md``, ``tables_scores.csv`` and ``tables_counts.csv``."""
        scores, counts = score_table(run), count_table(run)
        return [
            atomic_io.text(folder / "tables.md", _run_page(run, scores, counts)),
            write_csv(folder / "tables_scores.csv", scores),
            write_csv(folder / "tables_counts.csv", counts),
        ]

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Write every run's scores: ``tables.md`` and ``tables_scores.csv``."""
        table = study.table.copy()
        table["leak"] = leak_stamp(study)
        lines = ["# Every run", "", *_notes(stamps(study)), markdown(_rounded(study.table)), ""]
        return [
            atomic_io.text(folder / "tables.md", "\n".join(lines)),
            write_csv(folder / "tables_scores.csv", table),
        ]


def score_table(run: Run) -> pd.DataFrame:
    """One row a split: scores, chance and the share of the most common class."""
    import pandas as pd

    chance = 1 / len(run.class_names)
    counts: Mapping[str, Mapping[str, int]] = run.metadata.counts
    rows = [
        {
            "split": split,
            "n": score.get("n"),
            "groups": score.get("groups"),
            "accuracy": score.get("accuracy"),
            "accuracy_low": score.get("accuracy_low"),
            "accuracy_high": score.get("accuracy_high"),
            "balanced_accuracy": score.get("balanced_accuracy"),
            "loss": score.get("loss"),
            "chance": chance,
            "majority_share": majority(counts.get(split, {})),
            "leak": leak_stamp(run),
        }
        for split, score in run.scores.items()
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def count_table(run: Run) -> pd.DataFrame:
    """One row a class, one column a split: images."""
    import pandas as pd

    counts: Mapping[str, Mapping[str, int]] = run.metadata.counts
    columns: dict[str, list[Any]] = {"class": list(run.class_names)}
    table = pd.DataFrame(columns)
    for split, by_class in counts.items():
        # A split may have any name, also "class".
        values = [by_class.get(name, 0) for name in run.class_names]
        table.insert(len(table.columns), split, values, allow_duplicates=True)
    return table


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown; names with bars and line breaks stay in their cell."""
    lines = [_line(table.columns), "|" + " --- |" * len(table.columns)]
    lines += [_line(row) for row in table.itertuples(index=False, name=None)]
    return "\n".join(lines)


def _line(cells: Any) -> str:
    shown = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(shown) + " |"


def write_csv(target: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV, whole or not at all."""
    return atomic_io.text(target, table.to_csv(index=False, lineterminator="\n"))


def _notes(lines: Sequence[str]) -> list[str]:
    return [item for line in lines for item in (f"**{line}**", "")]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    floats = {name: table[name].map(number) for name in table.select_dtypes("float").columns}
    return table.assign(**floats)


def _run_page(run: Run, scores: pd.DataFrame, counts: pd.DataFrame) -> str:
    import pandas as pd

    column = run.metadata.group_column
    classes = len(run.class_names)
    shown = pd.DataFrame(
        {
            "split": scores["split"],
            "n": scores["n"],
            "groups": scores["groups"] if column is not None else "unknown",
            "accuracy": scores["accuracy"].map(number),
            "95 % interval": [interval(run.scores[split]) for split in scores["split"]],
            "balanced accuracy": scores["balanced_accuracy"].map(number),
            "chance": scores["chance"].map(number),
            "most common class": scores["majority_share"].map(number),
            "loss": scores["loss"].map(number),
        }
    )
    lines = ["# Scores", "", *_notes(stamps(run))]
    for split in run.test_splits:
        lines += [sentence(split, run.scores[split], column, classes), ""]
    lines += [markdown(shown), ""]
    lines.append(
        "Chance: one over the number of classes. Most common class: what always naming it would "
        "score."
    )
    if column is not None:
        lines.append(f"Groups: distinct values of {column!r}; the interval is taken over them.")
    lines += ["", "# Images", "", markdown(counts), ""]
    if run.warnings:
        lines += ["# Warnings", "", *(f"- {' '.join(line.split())}" for line in run.warnings), ""]
    return "\n".join(lines)
