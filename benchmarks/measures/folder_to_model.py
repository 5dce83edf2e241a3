"""(b) From a folder of files to a trained, evaluated and saved model, in a new process."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.goals import goal
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, compare

COLD = Peer("cellvision train, cold cache", "cellvision_cli")
WARM = Peer("cellvision train, warm cache", "cellvision_cli")
DIRECTORY = Peer("image_dataset_from_directory, fit", "from_directory")


def train_command(folder: str, out: Path, epochs: int, *options: str) -> list[str]:
    """Return the command line of a training with the recipe `page` and without reports."""
    return [
        *process.CELLVISION,
        *("train", folder, "--recipe", "page", "--out", str(out)),
        *("--set", f"training.epochs={epochs}", "--set", "reporters=[]"),
        *("--set", "split.validation=0", *options),
    ]


def measure(bench: Bench) -> Result:
    """Measure the seconds of the whole process."""
    epochs = 1 if bench.quick else 9
    bench = replace(bench, repeats=min(bench.repeats, 2))  # takes long
    images = bench.cells(train=1000, test=200)
    result = Result(
        f"(b) From a folder to a model, {epochs} epochs",
        "s",
        "1,000 training images. Each in a new process: start, read the PNG files, train `deep`, "
        "evaluate on the test images and save. The warm cache holds the decoded pixels of an "
        "earlier run.",
    )
    shape = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": epochs}

    def work(peer: Peer, repeat: int) -> ProcessResult:
        if peer is DIRECTORY:
            return peer.run({**images, **shape})
        out = bench.work / "runs" / f"b{repeat}{peer is COLD}"
        cache = bench.cache("b")
        if peer is COLD:
            shutil.rmtree(cache["CELLVISION_CACHE"], ignore_errors=True)
        return process.run(train_command(str(images["folder"]), out, epochs), cache)

    rows = bench.rows((COLD, WARM, DIRECTORY), work, lambda result: result.wall_s)
    result.rows = rows
    theirs = find_row(rows, DIRECTORY.label)
    for ours, target in ((WARM, goal("folder to model")), (COLD, "")):
        mine = find_row(rows, ours.label)
        label = f"{ours.label} : {DIRECTORY.label}"
        result.ratios.append(compare(label, mine, theirs, target, more_is_better=False))
    return result
