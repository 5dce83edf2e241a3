"""(d) A study of 12 runs against 12 runs of the page's script."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.goals import goal
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, compare

STUDY = Peer("cellvision study, 12 runs", "cellvision_cli")
SCRIPT = Peer("12 × the page's script", "script")


def measure(bench: Bench) -> Result:
    """Measure the seconds of whole processes."""
    runs, epochs = (2, 1) if bench.quick else (12, 4)
    bench = replace(bench, repeats=min(bench.repeats, 2))  # takes long
    images = bench.cells()
    result = Result(
        f"(d) {runs} runs of {epochs} epochs",
        "s",
        "Whole processes, the images of (a), including the evaluation on the test images. The "
        f"script runs once per repeat, and its time is multiplied by {runs}.",
    )

    def work(peer: Peer, repeat: int) -> ProcessResult:
        if peer is SCRIPT:
            shape = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": epochs}
            return peer.run({**images, **shape})
        command = [
            *process.CELLVISION,
            *("study", str(images["folder"]), "--recipe", "page"),
            *("--runs", str(runs), "--out", str(bench.work / "studies" / f"d{repeat}")),
            *("--set", f"training.epochs={epochs}", "--set", "reporters=[]"),
            *("--set", "split.validation=0"),
        ]
        return process.run(command, bench.cache("d"))

    rows = bench.rows((STUDY, SCRIPT), work, lambda result: result.wall_s)
    for row in rows:
        if row.label == SCRIPT.label:
            row.values = [runs * value for value in row.values]
    result.rows = rows
    study, script = find_row(rows, STUDY.label), find_row(rows, SCRIPT.label)
    label = f"{STUDY.label} : {SCRIPT.label}"
    result.ratios.append(compare(label, study, script, goal("12 runs"), more_is_better=False))
    return result
