"""Print the tables of ``docs/results.md`` and ``docs/reproduction.md`` from folders of studies.

Run as ``python scripts/results.py STUDY_DIR...``. The first table has one row per experiment and
test set, the second one their verdicts. Nothing is selected: every run counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import cellvision as cv

if TYPE_CHECKING:
    from cellvision.results.verdicts import VerdictRecord

SCORE_COLUMNS = (
    *("study", "experiment", "group", "test images", "test groups", "runs"),
    *("accuracy: mean", "SD over runs", "range over runs"),
    *(
        "95 % interval of the mean, sampling",
        "mean with flips and turns",
        "commonest class",
        "training accuracy",
        "time per run",
    ),
)

VERDICT_COLUMNS = (
    *("study", "experiment", "test set", "verdict", "images", "groups", "runs"),
    *("balanced accuracy (95 % interval)", "effect", "p (smallest possible)", "controls"),
)


def score_rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield the scores of one study, a row per experiment and test set.

    The interval is that of the mean over runs, as in the verdict.
    """
    study = cv.load_study(folder)
    experiments = {experiment.name: experiment for experiment in study.experiments}
    for verdict in study.verdicts:
        experiment = experiments[verdict.experiment]
        accuracies = [score.accuracy for score in experiment.scores(verdict.split)]
        spread = cv.statistics.seed_spread(accuracies)
        seconds = sum(run.timings.fit_s for run in experiment.runs) / len(experiment.runs)
        training = verdict.training_accuracy
        yield (
            folder.name,
            verdict.experiment,
            verdict.group_column or "unknown",
            str(verdict.n),
            "unknown" if verdict.groups is None else str(verdict.groups),
            str(spread.runs),
            f"{spread.mean:.3f}",
            f"{spread.sd:.3f}",
            f"{spread.minimum:.3f} to {spread.maximum:.3f}",
            f"{verdict.accuracy_low:.3f} to {verdict.accuracy_high:.3f}",
            _with_flips_and_turns(experiment.runs, verdict.split),
            f"{verdict.commonest_class:.3f}",
            "unknown" if training is None else f"{training:.3f}",
            f"{seconds:.0f} s",
        )


def _with_flips_and_turns(runs: Sequence[cv.Run], split: str) -> str:
    scores = [run.metadata.tta_scores.get(split) for run in runs]
    accuracies = [score.accuracy for score in scores if score is not None]
    return f"{fmean(accuracies):.3f}" if len(accuracies) == len(runs) else "not computed"


def verdict_rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield the verdicts of one study, a row per experiment and test set."""
    for verdict in cv.load_study(folder).verdicts:
        yield (
            folder.name,
            verdict.experiment,
            verdict.split,
            f"**{verdict.sentence}**",
            str(verdict.n),
            "unknown" if verdict.groups is None else str(verdict.groups),
            str(verdict.runs),
            _balanced_accuracy(verdict),
            f"{verdict.effect:+.2f}",
            f"{verdict.p:.2g} ({verdict.smallest_p:.2g})",
            "; ".join(f"{c.control} {c.accuracy:.2f}, {c.finding}" for c in verdict.controls)
            or "none",
        )


def _balanced_accuracy(verdict: VerdictRecord) -> str:
    low, high = verdict.balanced_accuracy_low, verdict.balanced_accuracy_high
    if low is None or high is None:
        return f"{verdict.balanced_accuracy:.2f}"
    return f"{verdict.balanced_accuracy:.2f} ({low:.2f} to {high:.2f})"


def print_table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Print one Markdown table."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def main() -> None:
    """Print a table of accuracies and one of verdicts."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    print_table(SCORE_COLUMNS, (row for folder in folders for row in score_rows(folder)))
    print()
    print_table(VERDICT_COLUMNS, (row for folder in folders for row in verdict_rows(folder)))


if __name__ == "__main__":
    main()
