"""Read a range of mutants in this process and report each, one line of JSON.

A line that starts a mutant and no line that ends it means that the process died or hangs on it.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cellvision import DecodedImage, errors
from cellvision.io import read_image
from fuzz.mutants import Mutant, mutate
from fuzz.seeds import seeds

MAX_GROWTH = 2**30
"""Bytes of memory that reading a small file may take, unless it declares larger pixels."""
MAX_SECONDS = 10
"""Seconds of processor time that one mutant may take; the process is killed beyond them."""
_HARD_LIMIT = 8 * 2**30


def mutant(seed: int, index: int, files: dict[str, bytes]) -> Mutant:
    """Make one mutant; the same for the same seed and index."""
    random = np.random.default_rng([seed, index])
    name = list(files)[random.integers(len(files))]
    return mutate(name, files[name], random)


def check(made: Mutant, path: Path, originals: dict[str, DecodedImage]) -> tuple[str, str]:
    """Read a mutant; return "read", "refused" or "fault", and a reason."""
    path.write_bytes(made.content)
    try:
        image = read_image(path)
    except errors.UnreadableImage as error:
        if "\n" in error.reason or not error.reason:
            return "fault", "a reason of several lines"
        if "not enough memory" in error.reason:
            return "fault", error.reason
        return "refused", error.reason
    except BaseException as error:  # noqa: BLE001 - any other exception is what is searched for
        return "fault", f"{type(error).__name__}: {error}"
    pixels = image.pixels
    if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "buif":
        return "fault", f"pixels of shape {pixels.shape}, {pixels.dtype}"
    if not pixels.dtype.isnative or not all(isinstance(note, str) for note in image.notes):
        return "fault", "foreign byte order, or notes that are no strings"
    # nothing tells that the last number of a text has lost a digit
    cut = made.how in ("cut", "cut_and_close") and not made.seed.startswith("plain")
    if cut and not np.array_equal(pixels, originals[made.seed].pixels):
        return "fault", "a file that is cut off was read with other pixels"
    return "read", ""


def main(seed: int, start: int, stop: int) -> None:
    """Read the mutants from `start` to before `stop`."""
    resource.setrlimit(resource.RLIMIT_AS, (_HARD_LIMIT, _HARD_LIMIT))
    files = seeds()
    with tempfile.TemporaryDirectory() as folder:
        originals = {}
        for name, content in files.items():
            path = Path(folder) / name
            path.write_bytes(content)
            originals[name] = read_image(path)
        for index in range(start, stop):
            made = mutant(seed, index, files)
            _say({"index": index, "seed": made.seed, "how": made.how})
            _limit_seconds()
            before, began = _peak(), time.process_time()
            outcome, reason = check(made, Path(folder) / f"mutant-{made.seed}", originals)
            growth, took = _peak() - before, time.process_time() - began
            if growth > MAX_GROWTH:
                outcome, reason = "fault", f"reading took {growth / 2**30:.1f} GiB"
            _say({"index": index, "outcome": outcome, "reason": reason, "seconds": took})


def _limit_seconds() -> None:
    limit = int(time.process_time()) + 1 + MAX_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
