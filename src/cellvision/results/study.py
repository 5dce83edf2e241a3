"""A finished study: its experiments, their runs and controls, and its tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from cellvision import errors, notebook_html, remote
from cellvision.plurals import counted, number_range
from cellvision.results.artifacts import ReportedResults
from cellvision.results.metadata import (
    EnsembleRecord,
    ExperimentRecord,
    RunRecord,
    StudyMetadata,
    read_run_metadata,
)
from cellvision.results.moved_images import Place, with_all_images
from cellvision.results.resumed_images import place_in_record
from cellvision.results.run import Run
from cellvision.results.scores import Score
from cellvision.results.study_metadata import read_study_metadata
from cellvision.results.tables import read_table
from cellvision.results.untrained import untrained_networks
from cellvision.results.verdicts import (
    LearningCurveRecord,
    PairRecord,
    VerdictFile,
    VerdictRecord,
)

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.interfaces.plots import StudyPlots

_TEXT_COLUMNS = (
    *("run", "experiment", "control", "split"),
    *("image", "group", "batch", "label", "predicted"),
)


def load_study(
    folder: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    allow_network: bool = False,
) -> Study:
    """Open the folder of a finished study.

    Parameters
    ----------
    folder
        The folder given to `study`. A study on remote storage is copied to this machine.
    images
        Where the images of its runs are now, as for `load_run`.
    allow_network
        Read images also from an address that its records name and that you never read before.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds no finished study; or images are missing in `images`.
    """
    with remote.finished(folder) as local:
        study = Study(local, read_study_metadata(local), None if allow_network else folder, images)
    if images is not None:
        for experiment in study.experiments:
            with_all_images(experiment.example)
    return study


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
    fold_runs : tuple of Run
        With cross-validation, the trained network of each fold and seed; `runs` and `controls`
        are then pooled over folds, and predict only images that no fold was trained on.
    out_of_fold : Run or None
        With cross-validation, the mean of `runs` over seeds.
    """

    name: str
    record: ExperimentRecord
    runs: tuple[Run, ...]
    controls: Mapping[str, tuple[Run, ...]]
    fold_runs: tuple[Run, ...] = ()
    out_of_fold: Run | None = None

    def __repr__(self) -> str:
        controls = f", controls {', '.join(self.controls)}" if self.controls else ""
        return f"<StudyExperiment {self.name}: {counted(len(self.runs), 'run')}{controls}>"

    @property
    def networks(self) -> tuple[Run, ...]:
        """The runs that have a network: its runs, or those of every fold."""
        return self.fold_runs or self.runs

    @property
    def example(self) -> Run:
        """The run that figures show: the first, or the mean out-of-fold predictions.

        It is not chosen by its result.
        """
        return self.runs[0] if self.out_of_fold is None else self.out_of_fold

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

    @property
    def untrained(self) -> tuple[bool, ...]:
        """Whether each of its runs, or one of its folds, predicts one class for every image."""
        return tuple(untrained_networks(run) > 0 for run in self.runs)

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
    storage
        Where the record is; None to read images from any address that it names.
    images
        Where the images of its runs are now; None: where they were at the training.
    """

    def __init__(
        self, folder: Path, metadata: StudyMetadata, storage: Place = None, images: Place = None
    ) -> None:
        self.folder = folder
        self._storage = storage
        self._images = images
        self._metadata = metadata

    @property
    def metadata(self) -> StudyMetadata:
        """Content of ``study.json``; a copy, so that changes to it affect nobody else."""
        return self._metadata.model_copy(deep=True)

    def with_metadata(self, metadata: StudyMetadata) -> Study:
        """Return this study with another record."""
        return Study(self.folder, metadata, self._storage, self._images)

    def __repr__(self) -> str:
        return (
            f"<Study {self.folder}: {counted(len(self.runs), 'run')} of "
            f"{counted(len(self._metadata.experiments), 'experiment')}>"
        )

    def _repr_html_(self) -> str:
        by_experiment = self.table.groupby(["experiment", "split"], sort=False)
        rows = [
            (
                *(
                    experiment,
                    split,
                    *(
                        number_range(list(rows[name].dropna().astype(int)))
                        for name in ("n", "groups")
                    ),
                ),
                len(rows),
                f"{rows['accuracy'].mean():.3f}",
                f"{rows['accuracy'].std(ddof=1):.3f}" if len(rows) > 1 else "",
                f"{rows['balanced_accuracy'].mean():.3f}",
            )
            for (experiment, split), rows in by_experiment
        ]
        scores = ("runs", "mean accuracy", "SD over runs", "mean balanced")
        head = ("experiment", "split", "images", "groups", *scores)
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
        for run in self._results:
            if run.experiment == record.name:
                group = runs if run.control is None else controls.setdefault(run.control, [])
                group.append(self._runs[run.name])
        name = record.out_of_fold
        return StudyExperiment(
            record.name,
            record,
            tuple(runs),
            MappingProxyType({name: tuple(group) for name, group in controls.items()}),
            tuple(
                self._run("runs", run.name, record)
                for run in self._metadata.runs
                if run.experiment == record.name and run.control is None and run.fold is not None
            ),
            None if name is None else self._run("out_of_fold", name, record),
        )

    def _run(self, kind: str, name: str, record: ExperimentRecord) -> Run:
        folder = self.folder / kind / name
        metadata = read_run_metadata(folder)
        images = self._images
        if images is None:  # a study that was resumed after its images were moved
            images = place_in_record(metadata, record.experiment)
        return Run(folder, metadata, self._storage, images)

    @property
    def _results(self) -> list[RunRecord]:
        """The records of the runs that results are read from: pooled over folds if there are."""
        trained = [run for run in self._metadata.runs if run.fold is None]
        return [*trained, *self._metadata.out_of_fold]

    @cached_property
    def _runs(self) -> dict[str, Run]:
        pooled = {run.name for run in self._metadata.out_of_fold}
        records = {record.name: record for record in self._metadata.experiments}
        return {
            run.name: self._run(
                "out_of_fold" if run.name in pooled else "runs", run.name, records[run.experiment]
            )
            for run in self._results
        }

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
        """The runs of all experiments, without those of controls.

        With cross-validation, they are pooled over folds.
        """
        return tuple(self._runs[run.name] for run in self._records(None))

    @property
    def controls(self) -> dict[str, tuple[Run, ...]]:
        """The runs of each control over all experiments; empty if there are none."""
        names = dict.fromkeys(run.control for run in self._results if run.control is not None)
        return {name: tuple(self._runs[run.name] for run in self._records(name)) for name in names}

    def _records(self, control: str | None) -> list[RunRecord]:
        return [run for run in self._results if run.control == control]

    @property
    def table(self) -> pd.DataFrame:
        """One row for each run and split: run, experiment, seed, split and the scores.

        With cross-validation, one for each fold, in the column ``fold``.
        """
        return self._table("runs.csv")

    @property
    def history(self) -> pd.DataFrame:
        """One row for each run and epoch: run, experiment, and a run's history."""
        return self._table("history.csv")

    @property
    def out_of_fold(self) -> pd.DataFrame:
        """One row per experiment and image: its prediction by networks not trained on it.

        That is the mean over seeds, with the ``fold`` that held the image out. Only
        cross-validated studies have this table.
        """
        return self._table("out_of_fold.csv")

    @property
    def groups(self) -> pd.DataFrame:
        """One row per experiment, split and group: the answer for the group, mean over runs."""
        return self._table("groups.csv")

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

    @property
    def verdicts(self) -> tuple[VerdictRecord, ...]:
        """One verdict for each experiment and test set."""
        return self._verdict_file.verdicts

    @property
    def pairs(self) -> tuple[PairRecord, ...]:
        """The difference of each pair of experiments on each test set."""
        return self._verdict_file.pairs

    @property
    def learning_curves(self) -> tuple[LearningCurveRecord, ...]:
        """Accuracy against the number of training groups on each test set (``study --sizes``)."""
        return self._verdict_file.learning_curves

    @cached_property
    def _verdict_file(self) -> VerdictFile:
        path = self.folder / "verdict.json"
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise errors.FolderError(
                f"{path}: cannot be read: {error.strerror}", "Run the same study again"
            ) from None
        return VerdictFile.from_json(text, str(path))

    def _table(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            self._tables[name] = self._read_table(name)
        return self._tables[name].copy()

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}

    def _read_table(self, name: str) -> pd.DataFrame:
        return read_table(self._file(name), dict.fromkeys(_TEXT_COLUMNS, str))
