"""Equal accuracy, which speed must not cost. Takes long, and runs only if named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

from benchmarks.bench import Bench, find_row
from benchmarks.measures.throughput import OURS, OURS_32, SCRIPT
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, Row


def measure(bench: Bench) -> list[Result]:
    """Measure test accuracies of at least five seeds, with intervals of their differences."""
    tasks = {
        "deep on the images of (a)": {
            **bench.cells(train=400, test=400),
            "network": "deep",
            "shape": [256, 256, 3],
            "epochs": 6,
        },
        f"fmnist_deep on {'synthetic images' if bench.data is None else 'Fashion-MNIST'}": {
            **bench.clothes(train=20000, test=10000),
            "network": "fmnist_deep",
            "shape": [28, 28, 1],
            "epochs": 3,
        },
    }
    return [_compare(bench, title, task) for title, task in tasks.items()]


def _compare(bench: Bench, title: str, task: Mapping[str, Any]) -> Result:
    seeds = 2 if bench.quick else max(5, bench.repeats)
    bench = replace(bench, repeats=seeds)
    epochs = 1 if bench.quick else task["epochs"]

    def work(peer: Peer, repeat: int) -> ProcessResult:
        return peer.run({**task, "epochs": epochs, "batch": 20, "seed": repeat, "evaluate": True})

    # Without the options of SCRIPT, which disable the evaluation.
    script = Peer(SCRIPT.label, SCRIPT.module)
    rows = bench.rows((OURS, script, OURS_32), work, lambda result: float(result.output["test"]))
    comparisons = []
    theirs = find_row(rows, script.label)
    for peer in (OURS, OURS_32):
        mine = find_row(rows, peer.label)
        if mine is not None and theirs is not None:
            comparisons.append(_difference(mine, theirs))
    return Result(
        f"Test accuracy, {title}",
        "accuracy",
        f"{seeds} seeds, {epochs} epochs, batches of 20, the same images. {' '.join(comparisons)}",
        rows,
    )


def _difference(ours: Row, theirs: Row) -> str:
    """Describe the mean difference with Student's 95 % interval, paired by seed."""
    from scipy import stats

    if len(ours.values) != len(theirs.values):
        return f"{ours.label} and {theirs.label} have not run with the same seeds."
    interval = stats.ttest_rel(ours.values, theirs.values).confidence_interval(0.95)
    low, high = float(interval.low), float(interval.high)
    verdict = "not worse" if high >= 0 else "**worse**"
    return (
        f"{ours.label} − {theirs.label}: {mean(ours.values) - mean(theirs.values):+.4f}, 95 % "
        f"interval {low:+.4f} to {high:+.4f} ({verdict})."
    )
