"""(k) A cross-validated study of a network with frozen layers against one training of `deep`."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.measures.folder_to_model import train_command
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, compare

STUDY = Peer("study of scattering, 12 seeds × 5 folds", "cellvision_cli")
TRAINING = Peer("cellvision train, deep", "cellvision_cli")


def measure(bench: Bench) -> Result:
    """Measure the seconds of whole processes, with the images already in the cache."""
    seeds, epochs = (1, 1) if bench.quick else (12, 9)
    bench = replace(bench, repeats=min(bench.repeats, 2))  # takes long
    images = bench.cells(train=1000, test=200)
    result = Result(
        "(k) Frozen layers",
        "s",
        "Whole processes, the 1,000 training images of (b). The first study also computes the "
        "output of the frozen layers; the repeats find it in the cache.",
    )

    def work(peer: Peer, repeat: int) -> ProcessResult:
        out = bench.work / "studies" / f"k{repeat}_{peer is STUDY}"
        if peer is TRAINING:
            command = train_command(str(images["folder"]), out, epochs)
        else:
            command = [
                *process.CELLVISION,
                *("study", str(images["folder"]), "--set", "architecture=scattering"),
                *("--runs", str(seeds), "--folds", "5", "--out", str(out)),
                *("--set", "reporters=[]"),
            ]
        return process.run(command, bench.cache("k"))

    result.rows = bench.rows((STUDY, TRAINING), work, lambda done: done.wall_s)
    study, training = (find_row(result.rows, peer.label) for peer in (STUDY, TRAINING))
    label = f"{STUDY.label} : {TRAINING.label}"
    result.ratios.append(compare(label, study, training, "≥ 1.0", more_is_better=False))
    return result
