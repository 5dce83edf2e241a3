"""Measure how often the verdict is right where the truth is known.

``python -m benchmarks.worlds --out FOLDER`` runs one study for each condition and data seed and
prints a table of verdicts. Finished studies in FOLDER are kept; ``--table`` only prints them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cellvision as cv
from benchmarks.worlds.conditions import CONDITIONS
from cellvision.statistics import wilson_interval

CONTROLS = ("permuted_groups", "background", "batch", "intensity")


def verdict_word(name: str, seed: int, out: Path) -> str:
    """Run one study, unless it is finished, and return the word of its verdict."""
    record = out / name / f"{seed:02d}.json"
    if record.is_file():
        return str(json.loads(record.read_text(encoding="utf-8"))["word"])
    folder = out / name / f"{seed:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    experiment = CONDITIONS[name].experiment(seed, folder)
    try:
        study = cv.study(
            experiment, 1, folder / "study", controls=available(experiment), progress=False
        )
    except cv.errors.LeakError:
        content: dict[str, Any] = {"word": "refused", "sentence": ""}
    else:
        verdict = study.verdicts[0]
        content = {
            "word": verdict.word,
            "sentence": verdict.sentence,
            "verdict": verdict.model_dump(mode="json"),
        }
    record.write_text(json.dumps(content, indent=1), encoding="utf-8")
    shutil.rmtree(folder)
    return str(content["word"])


def available(experiment: cv.Experiment) -> list[str]:
    """Return the controls that these images allow."""
    return [name for name in CONTROLS if name != "batch" or experiment.dataset.batch is not None]


Verdicts = dict[str, list[tuple[str, str]]]
"""Word and sentence of each finished study, by condition."""


def finished_verdicts(out: Path) -> Verdicts:
    """Read the verdicts of all finished studies."""
    records = {
        name: [json.loads(file.read_text("utf-8")) for file in sorted((out / name).glob("*.json"))]
        for name in CONDITIONS
    }
    return {
        name: [(record["word"], record["sentence"]) for record in group]
        for name, group in records.items()
    }


def markdown(verdicts: Verdicts) -> str:
    """Return the table: verdicts of each condition, and the rate of wrong ones."""
    columns = sorted({word for group in verdicts.values() for word, _ in group})
    lines = [
        f"| planted | correct | studies | {' | '.join(columns)} | wrong (95 % interval) |",
        "|---|---" + "|---:" * (len(columns) + 2) + "|",
    ]
    for name, group in verdicts.items():
        if not group:
            continue
        condition = CONDITIONS[name]
        counts = Counter(word for word, _ in group)
        wrong = sum(word not in condition.correct for word, _ in group)
        rate = wilson_interval(wrong, len(group))
        cells = [
            *(condition.title, " or ".join(condition.correct), str(len(group))),
            *(str(counts[word]) for word in columns),
            f"{wrong}: {rate.estimate:.2f} ({rate.low:.2f} to {rate.high:.2f})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the studies")
    parser.add_argument("--only", choices=CONDITIONS, action="append", help="one condition")
    parser.add_argument("--seeds", type=int, default=40, help="number of data seeds (40)")
    parser.add_argument("--first", type=int, default=0, help="first data seed (0)")
    parser.add_argument("--table", action="store_true", help="print finished studies only")
    options = parser.parse_args()
    os.environ.setdefault("CELLVISION_ODOMETER", "off")  # these test sets are drawn anew
    seeds = () if options.table else range(options.first, options.first + options.seeds)
    for seed in seeds:  # all conditions of a seed first: an interrupted run is still balanced
        for name in options.only or CONDITIONS:
            word = verdict_word(name, seed, options.out)
            print(f"{name} {seed}: {word}", file=sys.stderr, flush=True)
    print(markdown(finished_verdicts(options.out)))


if __name__ == "__main__":
    main()
