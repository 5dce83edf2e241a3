"""(b) From a folder of files to a trained, evaluated and saved model, in a new process."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks import process
from benchmarks.bench import Bench, row_of
from benchmarks.process import Peer, Took
from benchmarks.result import Result, compare

COLD = Peer("cellvision train, cold cache", "cellvision_cli")
WARM = Peer("cellvision train, warm cache", "cellvision_cli")
DIRECTORY = Peer("image_dataset_from_directory, fit", "from_directory")


def train_command(folder: str, out: Path, epochs: int, *more: str) -> list[str]:
    """The command line of a training with no reports."""
    return [
        *process.CELLVISION,
        *("train", folder, "--out", str(out)),
        *("--set", f"training.epochs={epochs}", "--set", "reporters=[]"),
        *("--set", "split.validation=0", *more),
    ]


def measure(bench: Bench) -> Result:
    """Seconds of the whole process."""
    epochs = 1 if bench.quick else 9
    bench = replace(bench, repeats=min(bench.repeats, 2))  # they take long
    images = bench.cells(train=1000, test=200)
    result = Result(
        f"(b) From a folder to a model, {epochs} epochs",
        "s",
        "1,000 training images. A new process each: start, read the PNG files, train `deep`, "
        "evaluate on the test images and save. The warm cache holds the decoded pixels of an "
        "earlier run.",
    )
    shape = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": epochs}

    def work(peer: Peer, repeat: int) -> Took:
        if peer is DIRECTORY:
            return peer.run({**images, **shape})
        out = bench.work / "runs" / f"b{repeat}{peer is COLD}"
        cache = bench.cache("b")
        if peer is COLD:
            shutil.rmtree(cache["CELLVISION_CACHE"], ignore_errors=True)
        return process.run(train_command(str(images["folder"]), out, epochs), cache)

    rows = bench.rows((COLD, WARM, DIRECTORY), work, lambda took: took.wall_s)
    result.rows = rows
    theirs = row_of(rows, DIRECTORY.label)
    for ours, aim in ((WARM, "≥ 1.7"), (COLD, "")):
        mine = row_of(rows, ours.label)
        what = f"{ours.label} : {DIRECTORY.label}"
        result.ratios.append(compare(what, mine, theirs, aim, more_is_better=False))
    return result
