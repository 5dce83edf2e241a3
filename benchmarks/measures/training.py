"""(a) Steady training of the deep network."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.goals import goal
from benchmarks.measures import throughput
from benchmarks.result import Result


def measure(bench: Bench) -> Result:
    """Measure images per second after the first epoch."""
    result = Result(
        "(a) Training, 256×256×3, batches of 20",
        "images/s",
        "The network `deep` with two classes, no validation; the first epoch, which also "
        "compiles, is left out. Slow peers train on fewer images: PyTorch on a third, JAX and "
        "Keras on PyTorch on a sixth.",
    )
    task = {
        **bench.cells(),
        "network": "deep",
        "shape": [256, 256, 3],
        "batch": 20,
    }
    peers = (
        *(throughput.OURS, throughput.SCRIPT, throughput.OURS_32, throughput.TORCH),
        *(throughput.ON_JAX, throughput.ON_TORCH),
    )
    goals = {"auto": goal("deep : script"), "torch": goal("deep : PyTorch")}
    return throughput.compare_training(bench, result, peers, task, goals)
