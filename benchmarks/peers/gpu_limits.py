"""Limits of a GPU, measured with PyTorch: a product of matrices, and a copy."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import process


def main() -> None:
    """Print TFLOP/s of products of 8192×8192 matrices, and TB/s of a copy, read and written."""
    import torch

    def fastest(function: Any) -> float:
        times = []
        for _ in range(20):
            torch.cuda.synchronize()
            start = time.perf_counter()
            function()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return min(times[3:])

    size = 8192
    products = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
        products[name] = 2 * size**3 / fastest(lambda: a @ b) / 1e12  # noqa: B023 - called at once
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / fastest(lambda: target.copy_(source)) / 1e12
    process.print_output(
        device=torch.cuda.get_device_name(), tflops=products, terabytes_per_s=bandwidth
    )


if __name__ == "__main__":
    main()
