"""What (a) and (i) share: images a second of a steady training, everybody in turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.bench import Bench, row_of
from benchmarks.process import Peer
from benchmarks.result import Result, best, compare

OURS = Peer("cellvision, precision auto", "cellvision_train", options={"precision": "auto"})
OURS_32 = Peer("cellvision, float32", "cellvision_train", options={"precision": "float32"})
SCRIPT = Peer("the page's script", "script", options={"evaluate": False})
TORCH = Peer("PyTorch by hand, best of three", "pytorch", ("torch",), options={"part": 3})
ON_JAX = Peer(
    *("the page's script on JAX", "script", ("jax",)),
    options={"evaluate": False, "part": 6},
    environment={"KERAS_BACKEND": "jax"},
)
ON_TORCH = Peer(
    *("the page's script on PyTorch", "script", ("torch",)),
    options={"evaluate": False, "part": 6},
    environment={"KERAS_BACKEND": "torch"},
)


def compare_training(
    bench: Bench,
    result: Result,
    peers: tuple[Peer, ...],
    task: Mapping[str, Any],
    aims: Mapping[str, str],
) -> Result:
    """Let all peers train, and fill in the result."""
    rows = bench.rows(
        peers,
        lambda peer, _: peer.run({**task, "epochs": 2 if bench.quick else 6}),
        lambda took: took.told["images_per_s"],
    )
    for row in rows:
        precision = "bfloat16" if "auto" in row.what else "float32"
        bench.share(row, task["network"], precision, training=True)
    ours, ours_32 = row_of(rows, OURS.label), row_of(rows, OURS_32.label)
    script = row_of(rows, SCRIPT.label)
    torch = best([row for row in rows if row.what == TORCH.label])
    result.rows += rows
    result.ratios += [
        compare(f"{OURS.label} : {SCRIPT.label}", ours, script, aims.get("auto", "")),
        compare(f"{OURS_32.label} : {SCRIPT.label}", ours_32, script, aims.get("float32", "")),
        compare(f"{OURS.label} : {TORCH.label}", ours, torch, aims.get("torch", "")),
    ]
    return result
