"""The experiments of a study, each with its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study


@dataclass(frozen=True, eq=False)
class Arm:
    """One experiment of a study.

    Attributes
    ----------
    name : str
        Its name in the study.
    runs : tuple of Run
        Its runs, in order of their seeds.
    table : pandas.DataFrame
        Their scores, one row for each run and split.
    """

    name: str
    runs: tuple[Run, ...]
    table: pd.DataFrame

    @property
    def chance(self) -> float:
        """One over the number of classes."""
        return 1 / len(self.runs[0].class_names)

    @property
    def test_splits(self) -> tuple[str, ...]:
        """The test sets of any of its runs."""
        return tuple(dict.fromkeys(split for run in self.runs for split in run.test_splits))

    def scores(self, split: str) -> pd.DataFrame:
        """The rows of one split: all runs that were evaluated on it."""
        return self.table[self.table["split"] == split].dropna(subset=["accuracy"])


def arms_of(study: Study) -> list[Arm]:
    """The experiments of a study that have finished runs, in the order of their first run."""
    by_name = {run.folder.name: run for run in study.runs}
    table = study.table
    arms = []
    for name, rows in table.groupby("experiment", sort=False):
        labels = [label for label in dict.fromkeys(rows["run"]) if label in by_name]
        if labels:
            arms.append(Arm(str(name), tuple(by_name[label] for label in labels), rows))
    return arms


def controls_of(study: Study, arm: Arm) -> dict[str, tuple[Run, ...]]:
    """The runs of each control that belong to an experiment of the study."""
    own = {run.folder.name for run in arm.runs}
    found = {
        control: tuple(r for r in runs if r.folder.name.removeprefix(f"{control}_") in own)
        for control, runs in study.controls.items()
    }
    return {control: runs for control, runs in found.items() if runs}


def span(values: pd.Series) -> str:
    """One number, or the range where runs differ; a dash where nothing is known."""
    known = values.dropna()
    if known.empty:
        return "–"
    low, high = int(known.min()), int(known.max())
    return f"{low}" if low == high else f"{low}–{high}"
