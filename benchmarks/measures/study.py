"""(d) A study of 12 runs against the page's script, twelve times."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import process
from benchmarks.bench import Bench, row_of
from benchmarks.process import Peer, Took
from benchmarks.result import Result, compare

STUDY = Peer("cellvision study, 12 runs", "cellvision_cli")
SCRIPT = Peer("12 × the page's script", "script")


def measure(bench: Bench) -> Result:
    """Seconds of the whole processes."""
    runs, epochs = (2, 1) if bench.quick else (12, 4)
    bench = replace(bench, repeats=min(bench.repeats, 2))  # they take long
    images = bench.cells()
    result = Result(
        f"(d) {runs} runs of {epochs} epochs",
        "s",
        "Whole processes, the images of (a), evaluation on the test images included. The script "
        f"is run once a repeat and its time taken {runs} times.",
    )

    def work(peer: Peer, repeat: int) -> Took:
        if peer is SCRIPT:
            shape = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": epochs}
            return peer.run({**images, **shape})
        command = [
            *process.CELLVISION,
            *("study", str(images["folder"])),
            *("--runs", str(runs), "--out", str(bench.work / "studies" / f"d{repeat}")),
            *("--set", f"training.epochs={epochs}", "--set", "reporters=[]"),
            *("--set", "split.validation=0"),
        ]
        return process.run(command, bench.cache("d"))

    rows = bench.rows((STUDY, SCRIPT), work, lambda took: took.wall_s)
    for row in rows:
        if row.what == SCRIPT.label:
            row.values = [runs * value for value in row.values]
    result.rows = rows
    study, script = row_of(rows, STUDY.label), row_of(rows, SCRIPT.label)
    what = f"{STUDY.label} : {SCRIPT.label}"
    result.ratios.append(compare(what, study, script, "≥ 2.5", more_is_better=False))
    return result
