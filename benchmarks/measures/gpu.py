"""(m) Training and features on a GPU, with Keras on JAX. Needs a GPU, and runs only if named."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from benchmarks import process
from benchmarks.bench import Bench, find_row
from benchmarks.process import Peer, ProcessFailed, ProcessResult
from benchmarks.result import Result, Row, compare
from benchmarks.turns import Turns

_JAX = {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
OURS = Peer("cellvision", "cellvision_on_gpu", ("jax",), environment=_JAX)
TORCH = Peer("PyTorch by hand", "pytorch_on_gpu", ("torch",))
TWELVE = Peer("study of 12 runs", "cellvision_cli", ("jax",))
ONE = Peer("one run", "cellvision_cli", ("jax",))

BATCHES = (20, 64, 256)
SIDES = {"deep": 256, "resnet": 128, "scattering": 128}


def measure(bench: Bench) -> list[Result]:
    """Measure images per second, and the seconds of twelve runs and of one."""
    limits = process.run([sys.executable, "-m", "benchmarks.peers.gpu_limits"]).output
    return [_speed(bench, network, limits) for network in SIDES] + [_twelve_runs(bench)]


def _speed(bench: Bench, network: str, limits: dict[str, Any]) -> Result:
    side = SIDES[network]
    batches = BATCHES[:1] if bench.quick else BATCHES
    task = {
        **bench.cells(train=2000 if side == 256 else 4000, test=20, side=side, suffix=".bmp"),
        "network": network,
        "shape": [side, side, 3],
        "epochs": 1 if bench.quick else 5,
        "repeats": bench.repeats,
    }
    product, copy = limits["tflops"]["bfloat16"], limits["terabytes_per_s"]
    work = "Features" if network == "scattering" else "Training"
    result = Result(
        f"(m) {work} of {network} on a GPU, {side}×{side}×3",
        "images/s",
        f"{limits['device']}: {product:.0f} TFLOP/s in bfloat16, "
        f"{limits['tflops']['float32']:.0f} in float32, {copy:.2f} TB/s. Each row is one process "
        f"that compiles once and is then measured in turn with the others, {task['epochs']} epochs "
        "at a time. PyTorch has all images on the GPU and leaves out the last, incomplete batch.",
    )
    speeds = _in_turns(bench, task, batches)
    for batch in batches:
        rows = [
            _row(f"{peer.label}, batches of {batch}", speeds[peer.label, batch])
            for peer in (OURS, TORCH)
        ]
        result.rows += rows
        result.ratios.append(compare(f"{rows[0].label} : {TORCH.label}", *rows))
    return result


def _in_turns(
    bench: Bench, task: dict[str, Any], batches: Sequence[int]
) -> dict[tuple[str, int], list[float] | str]:
    """Return the images per second of each peer and batch size, or the reason for a failure."""
    jobs = [(peer, batch) for batch in batches for peer in (OURS, TORCH)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(jobs)) as pool:
        turns = Turns(folder, len(jobs))
        shared = {**task, "turns": folder, "processes": len(jobs)}

        def work(job: tuple[Peer, int]) -> list[float] | str:
            peer, batch = job
            name = f"{peer.module}_{batch}"
            try:
                if missing := peer.missing():
                    return f"not installed: {', '.join(missing)}"
                done = peer.run({**shared, "batch": batch, "name": name}, bench.cache("m"))
            except ProcessFailed as failure:
                return f"failed: {str(failure).splitlines()[-1][:200]}"
            else:
                return [float(speed) for speed in done.output["images_per_s"]]
            finally:
                turns.ready(name)  # the others need not wait for one that has failed

        found = list(pool.map(work, jobs))
    return {(peer.label, batch): each for (peer, batch), each in zip(jobs, found, strict=True)}


def _row(label: str, speeds: list[float] | str) -> Row:
    return Row(label, [], note=speeds) if isinstance(speeds, str) else Row(label, speeds)


def _twelve_runs(bench: Bench) -> Result:
    epochs = 1 if bench.quick else 9
    bench = replace(bench, repeats=min(bench.repeats, 2))  # takes long
    images = bench.cells()
    result = Result(
        f"(m) 12 runs of {epochs} epochs of deep on a GPU",
        "s",
        "Whole processes, the images of (a), without evaluation reports.",
    )

    def work(peer: Peer, repeat: int) -> ProcessResult:
        runs = 12 if peer is TWELVE else 1
        command = [
            *process.CELLVISION,
            *("study", str(images["folder"]), "--recipe", "page", "--runs", str(runs)),
            *("--out", str(bench.work / "studies" / f"m{repeat}_{runs}")),
            *("--set", f"training.epochs={epochs}", "--set", "reporters=[]"),
            *("--set", "split.validation=0"),
        ]
        return process.run(command, {**bench.cache("m"), **_JAX})

    result.rows = bench.rows((TWELVE, ONE), work, lambda done: done.wall_s)
    twelve, one = (find_row(result.rows, peer.label) for peer in (TWELVE, ONE))
    if one is not None:
        one = replace(one, values=[12 * value for value in one.values])
    label = f"{TWELVE.label} : 12 × {ONE.label}"
    result.ratios.append(compare(label, twelve, one, more_is_better=False))
    return result
