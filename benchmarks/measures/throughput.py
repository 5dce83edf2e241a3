"""Shared by (a) and (i): images per second of a steady training, peers interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.bench import Bench, find_row
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
    goals: Mapping[str, str],
) -> Result:
    """Train with all peers and complete the result."""
    rows = bench.rows(
        peers,
        lambda peer, _: peer.run({**task, "epochs": 2 if bench.quick else 6}),
        lambda result: result.output["images_per_s"],
    )
    for row in rows:
        precision = "bfloat16" if "auto" in row.label else "float32"
        bench.add_share(row, task["network"], precision, training=True)
    ours, ours_32 = find_row(rows, OURS.label), find_row(rows, OURS_32.label)
    script = find_row(rows, SCRIPT.label)
    torch = best([row for row in rows if row.label == TORCH.label])
    result.rows += rows
    result.ratios += [
        compare(f"{OURS.label} : {SCRIPT.label}", ours, script, goals.get("auto", "")),
        compare(f"{OURS_32.label} : {SCRIPT.label}", ours_32, script, goals.get("float32", "")),
        compare(f"{OURS.label} : {TORCH.label}", ours, torch, goals.get("torch", "")),
    ]
    return result
