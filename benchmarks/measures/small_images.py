"""(i) Small images, for which the work between steps takes most of the time."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measures import throughput
from benchmarks.result import Result


def measure(bench: Bench) -> list[Result]:
    """Measure images per second of `fmnist_deep`, with batches of 20 and of 200."""
    results = []
    for batch in (20, 200):
        result = Result(
            f"(i) Training, 28×28×1, batches of {batch}",
            "images/s",
            "The network `fmnist_deep` with ten classes on "
            + ("synthetic images" if bench.data is None else "Fashion-MNIST")
            + "; otherwise as (a).",
        )
        task = {
            **bench.clothes(),
            "network": "fmnist_deep",
            "shape": [28, 28, 1],
            "batch": batch,
        }
        peers = (throughput.OURS, throughput.SCRIPT, throughput.OURS_32, throughput.TORCH)
        goals = {"auto": "≥ 1.5"} if batch == 20 else {}
        results.append(throughput.compare_training(bench, result, peers, task, goals))
    return results
