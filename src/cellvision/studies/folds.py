"""Cross-validated studies: the folds of an experiment, and a run for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cellvision import defaults, errors
from cellvision.data.fold_assignment import fold_splits
from cellvision.data.image_stats import digests
from cellvision.data.prepared import readable_catalog
from cellvision.interfaces.splitter import Splitter, splitters
from cellvision.plurals import counted

if TYPE_CHECKING:
    from cellvision.data.threaded_map import Progress
    from cellvision.experiment import Experiment
    from cellvision.studies.plan import PlannedRun


def requested_splitter(
    folds: int | None, leave_out: str | None, splitter: Splitter | str | None
) -> Splitter | None:
    """Return the splitter that is requested for a study; None if none is.

    Parameters
    ----------
    folds
        Number of folds of whole groups.
    leave_out
        Column whose values are left out one at a time.
    splitter
        A splitter, or its name.

    Raises
    ------
    errors.ExperimentError
        More than one of them is given, or there are fewer than two folds.
    errors.UnknownPlugin
        There is no such splitter.
    """
    if sum(choice is not None for choice in (folds, leave_out, splitter)) > 1:
        raise errors.ExperimentError(
            "folds, leave_out and splitter are three ways to divide the images",
            "Give one of --folds, --leave-out and --splitter.",
        )
    if folds is not None:
        if folds < 2:
            raise errors.ExperimentError(
                f"{counted(folds, 'fold')} cannot be cross-validated", "--folds 5"
            )
        return splitters.create(splitters.default(defaults.FOLDS_SPLITTER), k=folds)
    if leave_out is not None:
        name = splitters.default(defaults.LEAVE_OUT_SPLITTER)
        return splitters.create(name, column=leave_out)
    return splitters.create(splitter) if isinstance(splitter, str) else splitter


def with_splitter(experiment: Experiment, splitter: Splitter | None) -> Experiment:
    """Return the experiment with another splitter; unchanged for None."""
    if splitter is None:
        return experiment
    return _with_split(experiment, splitter=splitter)


def count_folds(
    experiments: Mapping[str, Experiment], progress: Progress | None = None
) -> dict[str, int]:
    """Count the folds of each experiment that is cross-validated, and check all of them.

    An experiment whose splitter makes a single fold has an ordinary test set, and is left out.

    Raises
    ------
    errors.SplitError
        The images cannot be divided like this.
    errors.InvalidInput
        The images cannot be read.
    """
    counts = {}
    for name, experiment in experiments.items():
        splitter = experiment.split.splitter
        if splitter is not None:
            catalog, stored = readable_catalog(experiment, progress)
            number = len(fold_splits(splitter, catalog, digests(stored.stats)))
            if number > 1:
                counts[name] = number
    return counts


def plan_folds(planned: Sequence[PlannedRun], folds: Mapping[str, int]) -> list[PlannedRun]:
    """Replace each run of a cross-validated experiment by one run for each fold.

    Runs of one fold follow each other, those of controls last, so that a fold's images are
    prepared and its network is compiled once.

    Parameters
    ----------
    planned
        The runs of a study as if it had no folds.
    folds
        Number of folds by experiment, as `count_folds` returns them.
    """
    result: list[PlannedRun] = []
    for name in dict.fromkeys(run.experiment_name for run in planned):
        runs = [run for run in planned if run.experiment_name == name]
        if name not in folds:
            result += runs
            continue
        for fold in range(1, folds[name] + 1):
            result += [
                replace(
                    run,
                    name=f"{run.name}_fold{fold:02d}",
                    experiment=_with_split(run.experiment, fold=fold),
                    fold=fold,
                )
                for run in runs
            ]
    return result


def pooled_name(run: PlannedRun) -> str:
    """Return the name of the run without its fold."""
    return run.name if run.fold is None else run.name.rpartition("_fold")[0]


def left_out_column(experiment: Experiment) -> str | None:
    """Return the provenance column whose values the folds of an experiment leave out, if any."""
    column = _column(experiment)
    return None if column in ("group", "batch") else column


def folds_by(experiment: Experiment, group_column: str | None, batch_column: str | None) -> str:
    """Name what the folds of an experiment hold out: a column, or images."""
    column = _column(experiment)
    names = {"group": group_column or "image", "batch": batch_column or "batch"}
    return names.get(column, column)


def _column(experiment: Experiment) -> str:
    splitter = experiment.split.splitter
    return "group" if splitter is None else splitter.left_out_column


def _with_split(experiment: Experiment, **changes: object) -> Experiment:
    # Not a copy with changes, which nothing would validate.
    split = type(experiment.split)(**{**dict(experiment.split), **changes})
    return experiment.model_copy(update={"split": split})
