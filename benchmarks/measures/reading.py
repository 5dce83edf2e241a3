"""(f) From files to batches, in the first epoch and in the second, for each format."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import numpy as np

from benchmarks import images
from benchmarks.bench import Bench, row_of
from benchmarks.process import Peer, Took
from benchmarks.result import Result, compare

OURS = Peer("cellvision", "cellvision_read")
DIRECTORY = Peer("image_dataset_from_directory", "from_directory", options={"read": 2})
PILLOW = Peer("Pillow, one thread", "pillow_read")
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "8-bit TIFF": ".tif", "16-bit TIFF": ".tif"}


def measure(bench: Bench) -> Result:
    """Images a second."""
    count = 8 if bench.quick else 600
    result = Result(
        "(f) Preprocessing, 256×256",
        "images/s",
        "First epoch: files to pixels (cellvision also measures every image, looks for copies "
        "and leaks, and stores the pixels; its start-up is not included). Second epoch: batches "
        "of 20. `image_dataset_from_directory` cannot read TIFF. 16-bit images are grey.",
    )
    pixels = images.spots(count, 256, 3, 2, seed=0)
    for name, suffix in FORMATS.items():
        folder = bench.work / f"intake_{name}"
        taken = pixels if name != "16-bit TIFF" else pixels[..., :1].astype(np.uint16) * 16
        images.write_folder(folder, taken, np.arange(count) % 2, suffix)
        task = {"folder": str(folder), "shape": [256, 256, 3], "batch": 20}
        peers = (OURS, DIRECTORY, PILLOW) if suffix != ".tif" else (OURS,)
        turns = bench.in_turns(peers, partial(_cold, bench, task))
        for epoch, order in (("second", 1), ("first", 0)):
            rows = [
                kept.row(what, partial(_rate, order))
                for what, kept in turns.items()
                if epoch == "first" or what != PILLOW.label
            ]
            ours, theirs = row_of(rows, OURS.label), row_of(rows, DIRECTORY.label)
            if DIRECTORY in peers:
                what = f"{name}, {epoch} epoch: {OURS.label} : {DIRECTORY.label}"
                aim = "≥ 4" if epoch == "second" else ""
                result.ratios.append(compare(what, ours, theirs, aim))
            for row in rows:
                row.what = f"{name}, {epoch} epoch: {row.what}"
            result.rows += rows
    return result


def _rate(order: int, took: Took) -> float:
    return float(took.told["rates"][order])


def _cold(bench: Bench, task: dict[str, Any], peer: Peer, repeat: int) -> Took:
    del repeat
    cache = bench.cache("f")
    shutil.rmtree(cache["CELLVISION_CACHE"], ignore_errors=True)
    return peer.run(task, cache)
