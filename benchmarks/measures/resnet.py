"""(j) Steady training of the default network against the same network in plain Keras."""

from __future__ import annotations

from benchmarks.bench import Bench, find_row
from benchmarks.goals import goal
from benchmarks.measures.throughput import OURS, OURS_32
from benchmarks.process import Peer
from benchmarks.result import Result, compare

KERAS = Peer("Keras fit", "keras_fit")


def measure(bench: Bench) -> Result:
    """Measure images per second after the first epoch."""
    side = 128
    result = Result(
        f"(j) Training of resnet, {side}×{side}×3, batches of 20",
        "images/s",
        "The network `resnet` with two classes, no validation and no augmentation; the first "
        "epoch, which also compiles, is left out. Keras reads the same network from a file and "
        "trains it with `fit` on arrays in memory.",
    )
    task = {
        **bench.cells(side=side),
        "network": "resnet",
        "shape": [side, side, 3],
        "batch": 20,
        "epochs": 2 if bench.quick else 6,
        "model": str(bench.work / "resnet.keras"),
    }
    Peer("network", "cellvision_network").run(task)
    result.rows = bench.rows(
        (OURS, OURS_32, KERAS),
        lambda peer, _: peer.run(task),
        lambda done: done.output["images_per_s"],
    )
    theirs = find_row(result.rows, KERAS.label)
    for ours, target in ((OURS, goal("resnet : Keras")), (OURS_32, "")):
        row = find_row(result.rows, ours.label)
        result.ratios.append(compare(f"{ours.label} : {KERAS.label}", row, theirs, target))
    return result
