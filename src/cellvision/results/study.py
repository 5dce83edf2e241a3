"""A finished study: its experiments, their runs and controls, and its tables."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors, notebook_html, remote
from cellvision.results.artifacts import ReportedResults
from cellvision.results.metadata import (
    STUDY_SCHEMA,
    EnsembleRecord,
    ExperimentRecord,
    RunRecord,
    StudyMetadata,
    check_schema,
)
from cellvision.results.run import Run, load_run
from cellvision.results.scores import Score
from cellvision.results.verdicts import VerdictFile, VerdictRecord

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.interfaces.plots import StudyPlots

PLAN = ".plan.json"
"""File that is written first, so that an interrupted study can resume."""


def load_study(folder: str | os.PathLike[str]) -> Study:
    """Open the folder of a finished study.

    Parameters
    ----------
    folder
        The folder given to `study`. A study on remote storage is copied to this machine.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds no finished study.
    """
    with remote.finished(folder) as local:
        return _load_study(local)


def _load_study(folder: Path) -> Study:
    path = folder / "study.json"
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except FileNotFoundError:
        interrupted = (folder / PLAN).is_file()
        raise errors.FolderError(
            f"{folder}: no finished study here (study.json is missing)",
            "The study was interrupted; run the same command again to resume it"
            if interrupted
            else "Name the folder given to cellvision study --out",
        ) from None
    except (OSError, ValueError) as error:
        raise errors.FolderError(f"{path}: cannot be read: {error}", "Restore the file") from None
    check_schema(path, content, STUDY_SCHEMA)
    return Study(folder, StudyMetadata.from_json(text, str(path)))


@dataclass(frozen=True, eq=False)
class StudyExperiment:
    """One experiment of a study with its runs.

    Attributes
    ----------
    name : str
        Its name in tables and figures.
    record : ExperimentRecord
        The complete experiment as plain values.
    runs : tuple of Run
        Its runs, in the order of their seeds.
    controls : dict of str to tuple of Run
        The runs of each control, in the order of their seeds.
    """

    name: str
    record: ExperimentRecord
    runs: tuple[Run, ...]
    controls: dict[str, tuple[Run, ...]]

    def __repr__(self) -> str:
        controls = f", controls {', '.join(self.controls)}" if self.controls else ""
        return f"<StudyExperiment {self.name}: {len(self.runs)} run(s){controls}>"

    @property
    def test_splits(self) -> tuple[str, ...]:
        """The test sets of its runs."""
        return tuple(dict.fromkeys(split for run in self.runs for split in run.test_splits))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return self.runs[0].class_names

    @property
    def chance(self) -> float:
        """One over the number of classes."""
        return 1 / len(self.class_names)

    def scores(self, split: str) -> tuple[Score, ...]:
        """The score of each run on one split; runs that lack the split are left out.

        Parameters
        ----------
        split
            Name of a split.
        """
        return tuple(run.scores[split] for run in self.runs if split in run.scores)

    def history(self, control: str | None = None) -> pd.DataFrame:
        """One row per run and epoch: ``run``, and the columns of a run's history.

        Parameters
        ----------
        control
            Name of a control; None for the runs of the experiment itself.
        """
        import pandas as pd

        runs = self.runs if control is None else self.controls.get(control, ())
        tables = [run.history.assign(run=run.folder.name) for run in runs]
        trained = [table for table in tables if not table.empty]
        return pd.concat(trained or tables, ignore_index=True) if tables else pd.DataFrame()


class Study(ReportedResults):
    """A finished study.

    Parameters
    ----------
    folder
        Its folder.
    metadata
        Content of ``study.json``.
    """

    def __init__(self, folder: Path, metadata: StudyMetadata) -> None:
        self.folder = folder
        self._metadata = metadata

    @property
    def metadata(self) -> StudyMetadata:
        """Content of ``study.json``; a copy, so that changes to it affect nobody else."""
        return self._metadata.model_copy(deep=True)

    def __repr__(self) -> str:
        return (
            f"<Study {self.folder}: {len(self.runs)} run(s) of "
            f"{len(self._metadata.experiments)} experiment(s)>"
        )

    def _repr_html_(self) -> str:
        table = self.table
        means = table.groupby(["experiment", "split"], sort=False)["accuracy"]
        rows = [
            (experiment, split, len(values), f"{values.mean():.3f}", f"{values.std(ddof=1):.3f}")
            for (experiment, split), values in means
        ]
        head = ("experiment", "split", "runs", "mean accuracy", "SD over runs")
        verdicts = self.verdicts if (self.folder / "verdict.json").is_file() else ()
        lines = (f"{each.experiment}, {each.split}: {each.sentence}" for each in verdicts)
        return notebook_html.document(
            f"Study {self.folder}",
            notebook_html.notes("Verdict", lines),
            notebook_html.table(head, rows),
        )

    @cached_property
    def experiments(self) -> tuple[StudyExperiment, ...]:
        """Its experiments, each with its runs and the runs of its controls."""
        return tuple(self._experiment(record) for record in self._metadata.experiments)

    def _experiment(self, record: ExperimentRecord) -> StudyExperiment:
        controls: dict[str, list[Run]] = {}
        runs: list[Run] = []
        for run in self._metadata.runs:
            if run.experiment == record.name:
                group = runs if run.control is None else controls.setdefault(run.control, [])
                group.append(self._runs[run.name])
        return StudyExperiment(
            record.name,
            record,
            tuple(runs),
            {name: tuple(group) for name, group in controls.items()},
        )

    @cached_property
    def _runs(self) -> dict[str, Run]:
        return {run.name: load_run(self.folder / "runs" / run.name) for run in self._metadata.runs}

    @property
    def plot(self) -> StudyPlots:
        """Its figures: ``study.plot.box()``, and ``study.plot(name)`` of any reporter."""
        from cellvision.interfaces.plots import StudyPlots

        return StudyPlots(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its experiments."""
        return tuple(record.name for record in self._metadata.experiments)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all experiments, without those of controls."""
        return tuple(self._runs[run.name] for run in self._records(None))

    @cached_property
    def controls(self) -> dict[str, tuple[Run, ...]]:
        """The runs of each control over all experiments; empty if there are none."""
        names = dict.fromkeys(run.control for run in self._metadata.runs if run.control is not None)
        return {name: tuple(self._runs[run.name] for run in self._records(name)) for name in names}

    def _records(self, control: str | None) -> list[RunRecord]:
        return [run for run in self._metadata.runs if run.control == control]

    @property
    def table(self) -> pd.DataFrame:
        """One row for each run and split: run, experiment, seed, split and the scores."""
        return self._table("runs.csv")

    @property
    def history(self) -> pd.DataFrame:
        """One row for each run and epoch: run, experiment, and a run's history."""
        return self._table("history.csv")

    @property
    def control_table(self) -> pd.DataFrame:
        """As `table`, for the runs of controls, with a column ``control``."""
        return self._table("control_runs.csv")

    @property
    def control_history(self) -> pd.DataFrame:
        """As `history`, for the runs of controls, with a column ``control``."""
        return self._table("control_history.csv")

    @property
    def ensembles(self) -> tuple[EnsembleRecord, ...]:
        """The mean prediction of each experiment's runs, scored like a run."""
        return self._metadata.ensembles

    @cached_property
    def verdicts(self) -> tuple[VerdictRecord, ...]:
        """One verdict for each experiment and test set."""
        path = self.folder / "verdict.json"
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise errors.FolderError(
                f"{path}: cannot be read: {error.strerror}", "Run the same study again"
            ) from None
        return VerdictFile.from_json(text, str(path)).verdicts

    def _table(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            self._tables[name] = self._read_table(name)
        return self._tables[name].copy()

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}

    def _read_table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        path = self.folder / name
        if not path.is_file():
            raise errors.FolderError(f"{path}: no such file", "Restore it.")
        # Names stay text, also an experiment called "50" or "null".
        return pd.read_csv(
            path,
            dtype=dict.fromkeys(("run", "experiment", "control", "split"), str),
            keep_default_na=False,
            na_values=[""],
        )
