"""(k) A cross-validated study of a network with frozen layers against one training of `deep`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.measures.folder_to_model import train_command
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, compare

FIRST = Peer("study of scattering, 12 seeds × 5 folds, features computed", "cellvision_cli")
AGAIN = Peer("the same, features from the cache", "cellvision_cli")
TRAINING = Peer("cellvision train, deep", "cellvision_cli")


def measure(bench: Bench) -> Result:
    """Measure the seconds of whole processes, with the images already in the cache."""
    seeds, epochs = (1, 1) if bench.quick else (12, 9)
    bench = replace(bench, repeats=min(bench.repeats, 2))  # takes long
    images = bench.cells(train=1000, test=200)
    result = Result(
        "(k) Frozen layers",
        "s",
        "Whole processes, the 1,000 training images of (b). The first study computes the output "
        "of the frozen layers for each image and eight augmented copies; another study finds it "
        "in the cache.",
    )

    def work(peer: Peer, repeat: int) -> ProcessResult:
        out = bench.work / "studies" / f"k{repeat}_{(FIRST, AGAIN, TRAINING).index(peer)}"
        cache = bench.cache("k")
        if peer is TRAINING:
            command = train_command(str(images["folder"]), out, epochs)
        else:
            command = [
                *process.CELLVISION,
                *("study", str(images["folder"]), "--set", "architecture=scattering"),
                *("--runs", str(seeds), "--folds", "5", "--out", str(out)),
                *("--set", "reporters=[]"),
            ]
            if peer is FIRST:
                features = Path(cache["CELLVISION_CACHE"], "features")
                shutil.rmtree(features, ignore_errors=True)
        return process.run(command, cache)

    peers = (FIRST, AGAIN, TRAINING)
    result.rows = bench.rows(peers, work, lambda done: done.wall_s)
    first, again, training = (find_row(result.rows, peer.label) for peer in peers)
    for row in (first, again):
        label = f"{row.label if row else FIRST.label} : {TRAINING.label}"
        result.ratios.append(compare(label, row, training, "≥ 1.0", more_is_better=False))
    return result
