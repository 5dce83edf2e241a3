"""(d) A study of 12 runs against 12 runs of the page's script, and runs side by side."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.goals import goal
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, compare

STUDY = Peer("cellvision study, 12 runs", "cellvision_cli")
SCRIPT = Peer("12 × the page's script", "script")
WORKERS = {
    number: Peer(f"cellvision study --workers {number}", "cellvision_cli")
    for number in ("1", "2", "auto")
}


def measure(bench: Bench) -> list[Result]:
    """Measure the seconds of whole processes."""
    return [_against_the_script(bench), _side_by_side(bench)]


def _against_the_script(bench: Bench) -> Result:
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


def _side_by_side(bench: Bench) -> Result:
    runs, epochs = (3, 2) if bench.quick else (8, 10)
    images = bench.clothes(train=2000, test=500)
    result = Result(
        f"(d) {runs} runs of {epochs} epochs of a small network, side by side",
        "s",
        "Whole processes, `fmnist_deep` with ten classes, batches of 20.",
    )

    def work(peer: Peer, repeat: int) -> ProcessResult:
        number = peer.label.rpartition(" ")[2]
        command = [
            *process.CELLVISION,
            *("study", str(images["folder"]), "--recipe", "page", "--workers", number),
            *("--runs", str(runs), "--out", str(bench.work / "studies" / f"w{number}{repeat}")),
            *("--set", "architecture=fmnist_deep", "--set", "preprocessing.size=28"),
            *("--set", "preprocessing.channels=gray", "--set", "augmenters=[]"),
            *("--set", f"training.epochs={epochs}", "--set", "reporters=[]"),
        ]
        return process.run(command, bench.cache("d"))

    result.rows = bench.rows(list(WORKERS.values()), work, lambda result: result.wall_s)
    alone = find_row(result.rows, WORKERS["1"].label)
    for number in ("2", "auto"):
        row = find_row(result.rows, WORKERS[number].label)
        label = f"{WORKERS[number].label} : --workers 1"
        result.ratios.append(compare(label, row, alone, more_is_better=False))
    return result
