"""Tables of scores on the terminal: of each split, and of each class of a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cellvision.cli.text import as_markup
from cellvision.plurals import number_range

if TYPE_CHECKING:
    from rich.table import Table

    from cellvision.results.class_scores import ClassScore
    from cellvision.results.run import Run
    from cellvision.results.scores import Score
    from cellvision.results.study import Study

SOLVED = "solved exactly; epochs, batch size and optimizer have no effect"
"""Says how a network was trained whose softmax layer was solved at once."""

_MOST_CLASSES = 30
"""Most classes in a table; of more, those with the lowest recall are shown."""


def score_table(run: Run) -> Table:
    """Return one row per split: images, groups, accuracy with interval, balanced accuracy."""
    from rich.table import Column, Table

    group = run.unit_column or "groups unknown"
    scored = any(score.group_accuracy is not None for score in run.scores.values())
    further = ("of groups",) if scored else ()
    table = Table(
        "split",
        "images",
        as_markup(group),
        "accuracy",
        Column("95 % interval", no_wrap=True),
        "balanced",
        *further,
        box=None,
    )
    averaged = [(f"{split}, averaged*", s) for split, s in run.metadata.tta_scores.items()]
    for split, score in [*run.scores.items(), *averaged]:
        table.add_row(
            as_markup(split),
            str(score.n),
            "" if score.groups is None else str(score.groups),
            f"{score.accuracy:.3f}",
            f"{score.accuracy_low:.3f} to {score.accuracy_high:.3f}",
            f"{score.balanced_accuracy:.3f}",
            *("" if s is None else f"{s:.3f}" for s in [score.group_accuracy] if scored),
        )
    if averaged:
        table.caption = "* mean over flips and quarter turns of each image"
        table.caption_justify = "left"
    return table


def class_table(classes: Mapping[str, ClassScore]) -> Table:
    """Return one row per class: images, precision, recall with interval, and F1."""
    from rich.table import Table

    table = Table("class", "images", "precision", "recall", "95 % interval", "F1", box=None)
    for name in _shown(classes):
        score = classes[name]
        low, high = score.recall_low, score.recall_high
        table.add_row(
            as_markup(name),
            str(score.n),
            _number(score.precision),
            _number(score.recall),
            "" if low is None or high is None else f"{low:.3f} to {high:.3f}",
            _number(score.f1),
        )
    return table


def spread_table(study: Study) -> Table:
    """Return the accuracy over runs of each experiment and split; the spread only if several."""
    columns: tuple[str, ...] = ("runs", "mean\naccuracy", "SD", "range", "mean\nbalanced")
    if all(len(experiment.runs) == 1 for experiment in study.experiments):
        columns = ("accuracy", "balanced")
    table = _experiment_table(columns)
    for experiment in study.experiments:
        table.add_row(as_markup(experiment.name))
        for split in experiment.runs[0].scores:
            scores = experiment.scores(split)
            cells = dict(zip(columns, [""] * len(columns), strict=True)) | _spread(scores)
            table.add_row(_indented(split), _images(scores), *(cells[name] for name in columns))
    return table


def _spread(scores: Sequence[Score]) -> dict[str, str]:
    """Return the cells of `spread_table` by column; one run has no spread."""
    import pandas as pd

    values = pd.Series([score.accuracy for score in scores])
    accuracy = f"{values.mean():.3f}"
    balanced = _number(_mean([score.balanced_accuracy for score in scores]))
    cells = {"runs": str(len(values)), "accuracy": accuracy, "balanced": balanced}
    cells |= {"mean\naccuracy": accuracy, "mean\nbalanced": balanced}
    if len(values) > 1:
        cells["SD"] = f"{values.std():.3f}"
        cells["range"] = f"{values.min():.3f} to {values.max():.3f}"
    return cells


def ensemble_table(study: Study) -> Table | None:
    """Return the scores of the mean probabilities over runs; None if there are no ensembles."""
    if not study.ensembles:
        return None
    table = _experiment_table(("accuracy", "95 % interval", "balanced"))
    for ensemble in study.ensembles:
        table.add_row(as_markup(ensemble.experiment))
        for split, score in ensemble.scores.items():
            table.add_row(
                _indented(split),
                _images([score]),
                f"{score.accuracy:.3f}",
                f"{score.accuracy_low:.3f} to {score.accuracy_high:.3f}",
                f"{score.balanced_accuracy:.3f}",
            )
    return table


def _experiment_table(columns: Sequence[str]) -> Table:
    """Return a table for a row per experiment, and below it one per split.

    The name of an experiment is the only cell that wraps where the terminal is narrow.
    """
    from rich.table import Column, Table

    names = ("images\n(groups)", *columns)
    return Table(
        Column("split", overflow="fold"), *(Column(name, no_wrap=True) for name in names), box=None
    )


def _indented(split: str) -> str:
    return f"  {as_markup(split)}"


def _images(scores: Sequence[Score]) -> str:
    """Return the number of images, and of groups where they are known, such as ``132 (33)``."""
    images = number_range([score.n for score in scores])
    groups = [score.groups for score in scores if score.groups is not None]
    return f"{images} ({number_range(groups)})" if groups else images


def mean_class_table(scores: Sequence[Score]) -> Table:
    """Return one row per class: images, mean precision, recall and F1 of several runs.

    A mean of fewer runs than there are says of how many: the precision of a class is undefined in
    a run that never predicts it, and the mean of the others alone would flatter.

    Parameters
    ----------
    scores
        Scores of runs on the same images.
    """
    from rich.table import Table

    classes = scores[0].classes
    table = Table("class", "images", "precision", "recall", "F1", box=None)
    for name in _shown(classes):
        of_runs = [score.classes[name] for score in scores if name in score.classes]
        columns = zip(*((each.precision, each.recall, each.f1) for each in of_runs), strict=True)
        table.add_row(as_markup(name), str(classes[name].n), *map(_mean_of_defined, columns))
    return table


def partly_defined(scores: Sequence[Score]) -> str:
    """Explain the counts in `mean_class_table`; empty if every run defines every mean there."""
    for name in _shown(scores[0].classes):
        predicts = [s.classes[name].precision is not None for s in scores if name in s.classes]
        if any(predicts) and not all(predicts):
            return (
                f"  ({sum(predicts)} of {len(predicts)}): mean of the runs that predict the class; "
                "the others have no precision for it"
            )
    return ""


def omitted_classes(classes: Mapping[str, ClassScore]) -> str:
    """Say how many classes a table leaves out; empty if it shows all."""
    more = len(classes) - _MOST_CLASSES
    if more <= 0:
        return ""
    return f"  and {more} more with a higher recall (reports/tables_classes.csv lists all)"


def _shown(classes: Mapping[str, ClassScore]) -> list[str]:
    """Return the names to show, in their order: all, or those with the lowest recall."""
    if len(classes) <= _MOST_CLASSES:
        return list(classes)
    worst = sorted(classes, key=lambda name: (classes[name].recall is None, classes[name].recall))
    chosen = set(worst[:_MOST_CLASSES])
    return [name for name in classes if name in chosen]


def _mean_of_defined(values: Sequence[float | None]) -> str:
    """Return the mean of the values that are defined, and of how many, if not of all."""
    defined = sum(value is not None for value in values)
    partial = f" ({defined} of {len(values)})" if 0 < defined < len(values) else ""
    return f"{_number(_mean(values))}{partial}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
