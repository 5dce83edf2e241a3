"""Converted networks, kept in the cache folder.

There is one folder for each network and program, named after the content of ``model.keras`` and
the program's version, so that it cannot be stale. It holds the converted files and ``index.json``
with their checksums. The folder is written under a temporary name, compared with Keras, and then
renamed. A folder that does not match its checksums is removed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellvision import atomic_io, errors
from cellvision.digests import file_digest
from cellvision.inference.convert import check_installed, convert_network
from cellvision.inference.engines import Engine
from cellvision.inference.engines.agreement import check_agrees
from cellvision.inference.engines.onnxruntime_engine import OnnxRuntimeEngine
from cellvision.inference.engines.openvino_engine import OpenVinoEngine
from cellvision.user_folders import cache_folder

if TYPE_CHECKING:
    from cellvision.results.run import Run

Program = Literal["onnxruntime", "openvino"]

PROGRAMS: tuple[Program, ...] = ("onnxruntime", "openvino")
"""The faster one first. For large networks they are equally fast; for small ones ONNX Runtime was
up to five times as fast, and it leaves the threads that decode alone."""

_FORMATS: dict[Program, tuple[str, str]] = {
    "onnxruntime": ("onnx", "model.onnx"),
    "openvino": ("openvino", "model.xml"),
}
"""For each program, its format in Keras, and the file that it opens."""

_PACKAGES: dict[Program, tuple[str, ...]] = {
    "onnxruntime": ("tf2onnx", "onnx"),
    "openvino": ("openvino",),
}
"""What Keras needs to convert a network for each program."""

_LAYOUT = 1
"""Increase whenever conversions change."""

_log = logging.getLogger(__name__)


def start_program(program: Program, path: Path, run: Run) -> Engine:
    """Open a converted network with a program."""
    if program == "openvino":
        return OpenVinoEngine(path, run.preprocessing.input_shape)
    return OnnxRuntimeEngine(path, run.preprocessing.input_shape)


def open_converted(run: Run, program: Program) -> Engine | None:
    """Open an existing conversion; None if there is none or it is damaged.

    Parameters
    ----------
    run
        The run with the network.
    program
        An installed program.
    """
    folder = _cache_folder(run, program)
    if not folder.is_dir():
        return None
    try:
        index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        for name, digest in index["files"].items():
            if file_digest(folder / name) != digest:
                raise ValueError(f"the checksum of {name} does not match")
        return start_program(program, folder / _FORMATS[program][1], run)
    except Exception as error:  # noqa: BLE001 - each program has its own errors for a bad file
        _log.warning("%s is damaged and is removed: %s", folder, errors.first_line(error))
    with suppress(OSError):
        shutil.rmtree(folder)
    return None


def make_converted(run: Run, program: Program, pixels: np.ndarray, expected: np.ndarray) -> Engine:
    """Convert a run's network, compare it with Keras, and keep it in the cache.

    Parameters
    ----------
    run
        The run with the network.
    program
        The program to convert for.
    pixels
        A few real images, as `Preprocessing.expand_channels` returns them.
    expected
        Keras' probabilities of them.

    Raises
    ------
    errors.ConversionError
        The network cannot be converted, or the program computes other probabilities.
    errors.InvalidInput
        A package is missing, or the cache cannot be written.
    """
    check_installed((program,), "predictions are computed")
    folder = _cache_folder(run, program)
    try:
        with atomic_io.folder(folder, exist_ok=True) as partial:
            form, name = _FORMATS[program]
            converted = convert_network(run, form, partial / name, _PACKAGES[program])
            check_agrees(program, _start_checked(program, converted, run), pixels, expected)
            files = {path.name: file_digest(path) for path in sorted(partial.iterdir())}
            (partial / "index.json").write_text(json.dumps({"files": files}), encoding="utf-8")
        return _start_checked(program, folder / _FORMATS[program][1], run)
    except errors.CellvisionError:
        raise
    except OSError as error:
        raise errors.FolderError(
            f"{cache_folder()}: the cache of converted networks cannot be written: "
            f"{error.strerror or error}",
            "Free some disk space, change permissions, or set CELLVISION_CACHE to another folder.",
        ) from error


def _start_checked(program: Program, path: Path, run: Run) -> Engine:
    try:
        return start_program(program, path, run)
    except OSError:
        raise
    except Exception as error:
        raise errors.ConversionError(
            f"{program} cannot compute this network: {errors.first_line(error)[:300]}",
            "Use Keras: --engine keras",
        ) from error


def _cache_folder(run: Run, program: Program) -> Path:
    version = importlib.import_module(program).__version__
    key = f"{_LAYOUT} {program} {version} {file_digest(run.folder / 'model.keras')}"
    return cache_folder() / "engines" / hashlib.sha256(key.encode()).hexdigest()[:32]
