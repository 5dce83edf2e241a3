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


Records = dict[str, list[dict[str, Any]]]
"""Record of each finished study, by condition."""


def finished_studies(out: Path) -> Records:
    """Read the records of all finished studies."""
    return {
        name: [json.loads(file.read_text("utf-8")) for file in sorted((out / name).glob("*.json"))]
        for name in CONDITIONS
    }


def markdown(records: Records) -> str:
    """Return the table: verdicts of each condition, and the rate of wrong ones."""
    lines = [
        "| planted | data seeds | verdicts | wrong (95 % interval) | of these, left open |",
        "|---|---:|---|---|---:|",
    ]
    for name, studies in records.items():
        if not studies:
            continue
        condition = CONDITIONS[name]
        counts = Counter(str(study["word"]) for study in studies)
        wrong = [study for study in studies if study["word"] not in condition.correct]
        rate = wilson_interval(len(wrong), len(studies))
        left_open = sum(_is_open(study, condition.explanation) for study in wrong)
        cells = [
            *(condition.title, str(len(studies))),
            ", ".join(f"{word}: {count}" for word, count in counts.most_common()),
            f"{len(wrong)} of {len(studies)} ({rate.low:.2f} to {rate.high:.2f})",
            str(left_open) if condition.explanation else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _is_open(study: dict[str, Any], control: str) -> bool:
    """Whether the verdict leaves open if the network does more than a control."""
    controls = study.get("verdict", {}).get("controls", ())
    return any(each["control"] == control and each["finding"] == "open" for each in controls)


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
    print(markdown(finished_studies(options.out)))


if __name__ == "__main__":
    main()
