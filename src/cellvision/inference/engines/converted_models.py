"""Converted networks, kept in the cache folder.

One folder for each network and program, named by the content of ``model.keras`` and the program's
version, so that it cannot be stale. It holds the converted files and ``index.json`` with a checksum
of each. The folder is written under another name and renamed when it is whole and has been compared
with Keras; one that does not match its checksums is put away.
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
from cellvision.data import pixel_cache
from cellvision.data.digests import file_digest
from cellvision.inference.convert import FILES, Format, check_installed, convert
from cellvision.inference.engines import Engine
from cellvision.inference.engines.agreement import check_agrees
from cellvision.inference.engines.onnxruntime_engine import OnnxRuntimeEngine
from cellvision.inference.engines.openvino_engine import OpenVinoEngine

if TYPE_CHECKING:
    from cellvision.results.run import Run

Program = Literal["onnxruntime", "openvino"]

PROGRAMS: tuple[Program, ...] = ("onnxruntime", "openvino")
"""The quickest first: alike for large networks, for small ones the first was up to five times as
quick, and it leaves the threads alone that decode."""

_WRITTEN_AS: dict[Program, Format] = {"onnxruntime": "onnx", "openvino": "openvino"}
_LAYOUT = 1
"""Counted up whenever a conversion would come out otherwise."""

_log = logging.getLogger(__name__)


def start(program: Program, path: Path, run: Run) -> Engine:
    """Let a program open a converted network."""
    if program == "openvino":
        return OpenVinoEngine(path, run.preprocessing.input_shape)
    return OnnxRuntimeEngine(path, run.preprocessing.input_shape)


def open_converted(run: Run, program: Program) -> Engine | None:
    """Open a conversion that was made before; None where there is none that is whole.

    Parameters
    ----------
    run
        Whose network it is.
    program
        What is to compute it; installed.
    """
    home = _home(run, program)
    if not home.is_dir():
        return None
    try:
        index: dict[str, Any] = json.loads((home / "index.json").read_text(encoding="utf-8"))
        for name, digest in index["files"].items():
            if file_digest(home / name) != digest:
                raise ValueError(f"the checksum of {name} does not match")
        return start(program, home / _opened(program), run)
    except Exception as error:  # noqa: BLE001 - each program has errors of its own for a bad file
        _log.warning("%s is damaged and is removed: %s", home, errors.first_line(error))
    with suppress(OSError):
        shutil.rmtree(home)
    return None


def make_converted(run: Run, program: Program, pixels: np.ndarray, expected: np.ndarray) -> Engine:
    """Convert a run's network, compare it with Keras, and keep it.

    Parameters
    ----------
    run
        Whose network it is.
    program
        What is to compute it.
    pixels
        A few real images, as `Preprocessing.complete` gives them.
    expected
        Keras' probabilities of them.

    Raises
    ------
    errors.ConversionError
        It cannot be converted, or does not give the same numbers.
    errors.InvalidInput
        A package is missing, or the cache cannot be written.
    """
    check_installed((program,), "predictions are computed")
    home = _home(run, program)
    try:
        with atomic_io.folder(home, exist_ok=True) as partial:
            converted = convert(run, _WRITTEN_AS[program], partial)
            check_agrees(program, _started(program, converted, run), pixels, expected)
            files = {path.name: file_digest(path) for path in sorted(partial.iterdir())}
            (partial / "index.json").write_text(json.dumps({"files": files}), encoding="utf-8")
        return _started(program, home / _opened(program), run)
    except errors.CellvisionError:
        raise
    except OSError as error:
        raise errors.FolderError(
            f"{pixel_cache.folder()}: the cache of converted networks cannot be written: "
            f"{error.strerror or error}",
            "Free space or permit writing there, or set CELLVISION_CACHE to another folder",
        ) from error


def _started(program: Program, path: Path, run: Run) -> Engine:
    try:
        return start(program, path, run)
    except OSError:
        raise
    except Exception as error:
        raise errors.ConversionError(
            f"{program} cannot compute this network: {errors.first_line(error)[:300]}",
            "Use Keras: --engine keras",
        ) from error


def _home(run: Run, program: Program) -> Path:
    version = importlib.import_module(program).__version__
    made_of = f"{_LAYOUT} {program} {version} {file_digest(run.folder / 'model.keras')}"
    return pixel_cache.folder() / "engines" / hashlib.sha256(made_of.encode()).hexdigest()[:32]


def _opened(program: Program) -> str:
    return f"model{FILES[_WRITTEN_AS[program]][0]}"
