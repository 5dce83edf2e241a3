"""(f) From files to batches, in the first epoch and in the second, for each format."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import numpy as np

from benchmarks import images
from benchmarks.bench import Bench, find_row
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, compare

OURS = Peer("cellvision", "cellvision_read")
DIRECTORY = Peer("image_dataset_from_directory", "from_directory", options={"read": 2})
PILLOW = Peer("Pillow, one thread", "pillow_read")
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "8-bit TIFF": ".tif", "16-bit TIFF": ".tif"}


def measure(bench: Bench) -> Result:
    """Measure images per second."""
    count = 8 if bench.quick else 600
    result = Result(
        "(f) Reading and preparing, 256×256",
        "images/s",
        "First epoch: files to pixels (cellvision also computes statistics of every image, looks "
        "for copies and leaks, and stores the pixels; start-up is not included). Second epoch: "
        "batches of 20. `image_dataset_from_directory` cannot read TIFF. 16-bit images are grey.",
    )
    pixels = images.spots(count, 256, 3, 2, seed=0)
    for name, suffix in FORMATS.items():
        folder = bench.work / f"reading_{name}"
        images_to_write = (
            pixels if name != "16-bit TIFF" else pixels[..., :1].astype(np.uint16) * 16
        )
        images.write_folder(folder, images_to_write, np.arange(count) % 2, suffix)
        task = {"folder": str(folder), "shape": [256, 256, 3], "batch": 20}
        peers = (OURS, DIRECTORY, PILLOW) if suffix != ".tif" else (OURS,)
        by_label = bench.interleave(peers, partial(_cold, bench, task))
        for epoch, order in (("second", 1), ("first", 0)):
            rows = [
                entry.row(label, partial(_rate, order))
                for label, entry in by_label.items()
                if epoch == "first" or label != PILLOW.label
            ]
            ours, theirs = find_row(rows, OURS.label), find_row(rows, DIRECTORY.label)
            if DIRECTORY in peers:
                label = f"{name}, {epoch} epoch: {OURS.label} : {DIRECTORY.label}"
                goal = "≥ 4" if epoch == "second" else "≥ 1.0"
                result.ratios.append(compare(label, ours, theirs, goal))
            for row in rows:
                row.label = f"{name}, {epoch} epoch: {row.label}"
            result.rows += rows
    return result


def _rate(order: int, result: ProcessResult) -> float:
    return float(result.output["rates"][order])


def _cold(bench: Bench, task: dict[str, Any], peer: Peer, repeat: int) -> ProcessResult:
    del repeat
    cache = bench.cache("f")
    shutil.rmtree(cache["CELLVISION_CACHE"], ignore_errors=True)
    return peer.run(task, cache)
