"""Print the tables of ``docs/results.md`` and ``docs/reproduction.md`` from studies' folders.

Run as ``python scripts/results.py STUDY_DIR...``; each folder gives one row a test set and
experiment, and one in a second table for its verdict. Nothing is chosen: every run counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cellvision as cv

HEAD = (
    *("study", "experiment", "unit of the split", "test images", "units", "runs"),
    *("accuracy: mean", "SD over runs", "range over runs", "95 % interval, sampling"),
    *("chance", "training accuracy", "time a run"),
)


def rows(folder: Path) -> list[tuple[str, ...]]:
    """The rows of one study."""
    study = cv.load_study(folder)
    found = []
    for name in study.names:
        table = study.table[study.table["experiment"] == name]
        runs = [run for run in study.runs if run.folder.name in set(table["run"])]
        first = runs[0]
        taught = table.loc[table["split"] == first.training_split, "accuracy"]
        seconds = sum(run.metadata.timings.fit_s for run in runs) / len(runs)
        for split in first.test_splits:
            scores = table[table["split"] == split]
            accuracy = scores["accuracy"]
            spread = cv.statistics.seed_spread(accuracy.to_numpy())
            counts = first.metadata.counts[split]
            groups = first.scores[split].groups
            low, high = scores["accuracy_low"].mean(), scores["accuracy_high"].mean()
            found.append(
                (
                    folder.name,
                    name,
                    first.metadata.group_column or "unknown",
                    str(first.scores[split].n),
                    "–" if groups is None else str(groups),
                    str(spread.runs),
                    f"{spread.mean:.3f}",
                    f"{spread.sd:.3f}",
                    f"{spread.minimum:.3f} to {spread.maximum:.3f}",
                    f"{low:.3f} to {high:.3f}",
                    f"{max(counts.values()) / sum(counts.values()):.3f}",
                    f"{taught.mean():.3f}",
                    f"{seconds:.0f} s",
                )
            )
    return found


VERDICT_HEAD = (
    *("study", "experiment", "test set", "verdict", "images", "units", "runs"),
    *("accuracy (95 % interval)", "balanced accuracy, effect", "p (smallest possible)", "controls"),
)


def verdict_rows(folder: Path) -> list[tuple[str, ...]]:
    """The verdicts of one study, a row for each experiment and test set."""
    return [
        (
            folder.name,
            told["experiment"],
            told["split"],
            f"**{told['sentence']}**",
            str(told["n"]),
            "unknown" if told["group_column"] is None else f"{told['groups']}",
            str(told["runs"]),
            f"{told['accuracy']:.2f} ({told['accuracy_low']:.2f} to {told['accuracy_high']:.2f})",
            f"{told['balanced_accuracy']:.2f}, {told['effect']:+.2f}",
            f"{told['p']:.2g} ({told['smallest_p']:.2g})",
            "; ".join(
                f"{each['control']} {each['accuracy']:.2f}, p {each['p']:.2g}"
                for each in told["controls"]
            )
            or "none",
        )
        for told in cv.load_study(folder).verdicts
    ]


def show(head: tuple[str, ...], table: list[tuple[str, ...]]) -> None:
    """Print one Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in table:
        print("| " + " | ".join(row) + " |")


def main() -> None:
    """Print a table of accuracies and one of verdicts."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    show(HEAD, [row for folder in folders for row in rows(folder)])
    print()
    show(VERDICT_HEAD, [row for folder in folders for row in verdict_rows(folder)])


if __name__ == "__main__":
    main()
