"""Converted networks, kept in the cache folder.

There is one folder for each network and engine, named after the content of ``model.keras``, the
versions of the engine and of its exporter, and the source code of the exporter's package and of
the network's own layers, so that an edit of either converts again. It holds the converted files
and ``index.json`` with their checksums. The folder is written under a temporary name, compared
with Keras, and then renamed. A folder that does not match its checksums is removed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io, errors
from cellvision.data.cache_space import remove_abandoned
from cellvision.data.code_digests import source_digest
from cellvision.digests import file_digest
from cellvision.inference.convert import check_installed
from cellvision.inference.engines import Engine
from cellvision.inference.engines.agreement import check_agrees
from cellvision.inference.engines.saved_layers import saved_layers_digest
from cellvision.interfaces.exporter import Exporter, exporters
from cellvision.user_folders import cache_folder

if TYPE_CHECKING:
    from cellvision.results.run import Run

_LAYOUT = 2
"""Increase whenever the layout of the folders changes."""

_USE_KERAS = "Use Keras: --engine keras"

_log = logging.getLogger(__name__)


def engine_exporters() -> dict[str, Exporter]:
    """Return the exporters whose files an engine predicts with, by engine; the fastest first.

    Only exporters that may have an engine are imported. Those that cannot be used are left out.
    """
    found: list[Exporter] = []
    for name in exporters.names_that_may_override("engine"):
        with suppress(errors.CellvisionError):
            found.append(exporters.create(exporters.default(name)))
    by_engine: dict[str, Exporter] = {}
    for exporter in sorted(found, key=lambda each: each.engine_order):
        if exporter.engine:
            by_engine.setdefault(exporter.engine, exporter)
    return by_engine


def open_converted(run: Run, exporter: Exporter) -> Engine | None:
    """Open an existing conversion; None if there is none or it is damaged.

    Parameters
    ----------
    run
        The run with the network.
    exporter
        An exporter with an installed engine.

    Raises
    ------
    errors.FolderError
        The conversion cannot be read.
    errors.ConversionError
        The engine cannot open it, although it is whole: memory or a part of the engine is missing.
    """
    folder = _cache_folder(run, exporter)
    if not folder.is_dir():
        return None
    try:
        name = _checked_name(folder)
        return _open_checked(exporter, folder / name, run)
    except _Damaged as error:
        _log.warning("%s is damaged and is removed: %s", folder, errors.first_line(error))
    except OSError as error:
        raise errors.FolderError(
            f"{folder}: this converted network cannot be read: {error.strerror or error}",
            "Change permissions, or set CELLVISION_CACHE to another folder.",
        ) from error
    with suppress(OSError):
        shutil.rmtree(folder)
    return None


class _Damaged(Exception):
    """A folder of a conversion does not match its index."""


def _checked_name(folder: Path) -> str:
    """Compare a folder with its index, and return the name of what to open."""
    try:
        index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        name: str = index["opens"]
        for file, digest in index["files"].items():
            if file_digest(folder / file) != digest:
                raise _Damaged(f"the checksum of {file} does not match")
        if not (folder / name).exists():
            raise _Damaged(f"{name} is missing")
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _Damaged(errors.summarize(error)) from error
    return name


def make_converted(
    run: Run, exporter: Exporter, pixels: np.ndarray, expected: np.ndarray
) -> Engine:
    """Convert a run's network, compare it with Keras, and keep it in the cache.

    Parameters
    ----------
    run
        The run with the network.
    exporter
        The exporter with the engine.
    pixels
        A few real images, as `Preprocessing.expand_channels` returns them.
    expected
        Keras' probabilities of them.

    Raises
    ------
    errors.ConversionError
        The network cannot be converted, or the engine computes other probabilities.
    errors.InvalidInput
        A package is missing, or the cache cannot be written.
    """
    check_installed((exporter.engine, *exporter.packages), "predictions are computed")
    folder = _cache_folder(run, exporter)
    remove_abandoned(folder.parent)
    try:
        with atomic_io.folder(folder, exist_ok=True) as partial:
            name = _export(exporter, run, partial)
            engine = _open_checked(exporter, partial / name, run)
            check_agrees(exporter.engine, engine, pixels, expected)
            written = [path for path in sorted(partial.rglob("*")) if path.is_file()]
            files = {path.relative_to(partial).as_posix(): file_digest(path) for path in written}
            index = json.dumps({"files": files, "opens": name})
            (partial / "index.json").write_text(index, encoding="utf-8")
        return _open_checked(exporter, folder / name, run)
    except errors.CellvisionError:
        raise
    except OSError as error:
        raise errors.FolderError(
            f"{cache_folder()}: the cache of converted networks cannot be written: "
            f"{error.strerror or error}",
            "Free some disk space, change permissions, or set CELLVISION_CACHE to another folder.",
        ) from error


def _export(exporter: Exporter, run: Run, folder: Path) -> str:
    """Export the network; return what to open, as a name in the folder."""
    origin = exporters.origin_of(type(exporter))
    try:
        opened = Path(exporter.export(run, folder))
    except (errors.CellvisionError, OSError):
        raise
    except Exception as error:
        raise errors.ConversionError(
            f"{origin} cannot write this network: {errors.first_line(error)[:300]}", _USE_KERAS
        ) from error
    if not opened.is_relative_to(folder) or not opened.exists():
        raise errors.PluginContractError(
            f"{origin}: export() returned {opened}, which is not in its folder", _USE_KERAS
        )
    return opened.relative_to(folder).as_posix()


def _open_checked(exporter: Exporter, path: Path, run: Run) -> Engine:
    try:
        return exporter.open_engine(path, run)
    except OSError:
        raise
    except Exception as error:
        raise errors.ConversionError(
            f"{exporter.engine} cannot compute this network: {errors.first_line(error)[:300]}",
            _USE_KERAS,
        ) from error


def _cache_folder(run: Run, exporter: Exporter) -> Path:
    engine = exporter.engine
    version = getattr(importlib.import_module(engine), "__version__", "")
    plugin = exporters.requirement(exporters.name_of(type(exporter)))
    code = source_digest(exporter)  # an author edits it without a new version
    network = file_digest(run.folder / "model.keras")
    layers = saved_layers_digest(run.folder / "model.keras", run.metadata.local_plugins)
    key = f"{_LAYOUT} {engine} {version} {plugin} {code} {network} {layers}"
    return cache_folder() / "engines" / hashlib.sha256(key.encode()).hexdigest()[:32]
