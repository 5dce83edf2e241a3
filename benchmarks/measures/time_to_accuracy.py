"""(c) Seconds until the validation accuracy first reaches a mark."""

from __future__ import annotations

from benchmarks.bench import Bench, row_of
from benchmarks.measures.throughput import OURS, OURS_32, SCRIPT
from benchmarks.process import Failed, Peer, Took
from benchmarks.result import Result, compare

MARK = 0.95


def measure(bench: Bench) -> Result:
    """Seconds of training, compiling and validation included, from other weights each time."""
    mark = 0.0 if bench.quick else MARK
    result = Result(
        f"(c) Time to a validation accuracy of {mark:g}",
        "s",
        "The images of (a); from the beginning of the first epoch to the end of the first one "
        "at the mark. Each repeat has another seed. A seed that does not get there within 8 "
        "epochs is left out and told.",
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

    def seconds(took: Took) -> float:
        spent = 0.0
        for epoch, held in zip(took.told["seconds"], took.told["held"], strict=True):
            spent += float(epoch)
            if held >= mark:
                return spent
        raise Failed("a seed did not reach the mark")

    def work(peer: Peer, repeat: int) -> Took:
        return peer.run({**task, "seed": repeat})

    rows = bench.rows((OURS, SCRIPT, OURS_32), work, seconds)
    result.rows = rows
    script = row_of(rows, SCRIPT.label)
    for peer in (OURS, OURS_32):
        mine = row_of(rows, peer.label)
        what = f"{peer.label} : {SCRIPT.label}"
        result.ratios.append(compare(what, mine, script, more_is_better=False))
    return result
