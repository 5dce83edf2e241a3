"""(c) Seconds until the validation accuracy first reaches a threshold."""

from __future__ import annotations

from benchmarks.bench import Bench, find_row
from benchmarks.measures.throughput import OURS, OURS_32, SCRIPT
from benchmarks.process import Peer, ProcessFailed, ProcessResult
from benchmarks.result import Result, compare

THRESHOLD = 0.95


def measure(bench: Bench) -> Result:
    """Measure seconds of training, compiling and validation, with a new seed in each repeat."""
    threshold = 0.0 if bench.quick else THRESHOLD
    result = Result(
        f"(c) Time to a validation accuracy of {threshold:g}",
        "s",
        "The images of (a); from the start of the first epoch to the end of the first epoch that "
        "reaches it. Each repeat has another seed. A seed that does not reach it within 8 epochs "
        "is left out and noted.",
    )
    task = {
        **bench.cells(),
        "network": "deep",
        "shape": [256, 256, 3],
        "batch": 20,
        "epochs": 2 if bench.quick else 8,
        "validation": 0.25 if bench.quick else 0.2,
        "evaluate": False,
    }

    def seconds(result: ProcessResult) -> float:
        spent = 0.0
        for epoch, accuracy in zip(
            result.output["seconds"], result.output["val_accuracy"], strict=True
        ):
            spent += float(epoch)
            if accuracy >= threshold:
                return spent
        raise ProcessFailed("a seed did not reach the threshold")

    def work(peer: Peer, repeat: int) -> ProcessResult:
        return peer.run({**task, "seed": repeat})

    rows = bench.rows((OURS, SCRIPT, OURS_32), work, seconds)
    result.rows = rows
    script = find_row(rows, SCRIPT.label)
    for peer in (OURS, OURS_32):
        mine = find_row(rows, peer.label)
        label = f"{peer.label} : {SCRIPT.label}"
        result.ratios.append(compare(label, mine, script, more_is_better=False))
    return result
