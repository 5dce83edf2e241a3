"""Print the tables of ``docs/results.md`` and ``docs/reproduction.md`` from studies' folders.

Run as ``python docs/results.py STUDY_DIR...``; each folder gives one row a test set and
experiment. Nothing is chosen: every run of a study counts.
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
        seconds = sum(run.record["timings"]["fit_s"] for run in runs) / len(runs)
        for split in first.test_splits:
            scores = table[table["split"] == split]
            accuracy = scores["accuracy"]
            spread = cv.statistics.seed_spread(accuracy.to_numpy())
            counts = first.record["counts"][split]
            groups = first.scores[split]["groups"]
            low, high = scores["accuracy_low"].mean(), scores["accuracy_high"].mean()
            found.append(
                (
                    folder.name,
                    name,
                    first.record["group_column"] or "unknown",
                    str(first.scores[split]["n"]),
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


def main() -> None:
    """Print one Markdown table."""
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD))
    for argument in sys.argv[1:]:
        for row in rows(Path(argument)):
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
