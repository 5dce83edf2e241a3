"""Measure the limits of this machine, and count the operations of the networks.

``python -m benchmarks.machine`` prints both as JSON. It runs in a separate process because it
imports TensorFlow, which must not slow down the process that runs the benchmarks.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import process

if TYPE_CHECKING:
    import keras

PACKAGES = (
    *("cellvision", "tensorflow", "keras", "torch", "jax"),
    *("onnxruntime", "openvino", "numpy", "pillow"),
)


def describe() -> dict[str, Any]:
    """Describe the machine, the installed versions and the date."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model,
        "processors": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": versions,
    }


def limits() -> dict[str, Any]:
    """Measure GFLOP/s of matrix products and GFLOP per image, in a separate process."""
    output: dict[str, Any] = process.run([sys.executable, "-m", "benchmarks.machine"]).output
    return output


def cost(model: keras.Model) -> tuple[float, float]:
    """Return the GFLOP per image of prediction and of training.

    A multiplication and an addition count as two operations. Only convolutions and dense layers
    count; the rest is small. Training costs three times as much, except in the first layer, which
    needs no gradient with respect to its input.
    """
    forward = []
    for layer in model.layers:
        if not hasattr(layer, "kernel"):
            continue
        positions = 1
        for size in layer.output.shape[1:-1]:
            positions *= size
        taps = 1
        for size in layer.kernel.shape:
            taps *= size
        forward.append(2 * positions * taps / 1e9)
    return sum(forward), 3 * sum(forward) - forward[0]


def _matmul_gflops(dtype: str, size: int = 2048, seconds: float = 3.0) -> float:
    """Return the highest GFLOP/s of a matrix product."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal((size, size)), dtype)
    product = tf.function(tf.linalg.matmul)
    product(a, a)
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        product(a, a)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * size**3 / fastest / 1e9


def _main() -> None:
    import cellvision as cv

    networks = {"deep": ((256, 256, 3), 2), "fmnist_deep": ((28, 28, 1), 10)}
    costs = {}
    for name, (shape, classes) in networks.items():
        costs[name] = cost(cv.architectures.create(name).build(shape, classes))
    products = {dtype: _matmul_gflops(dtype) for dtype in ("float32", "bfloat16")}
    print(json.dumps({"gflops": products, "gflop_per_image": costs}))


if __name__ == "__main__":
    _main()
