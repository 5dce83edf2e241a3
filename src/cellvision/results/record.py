"""Writing a run's folder: every file whole or not at all, ``run.json`` last."""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from cellvision import atomic_io, errors
from cellvision.backends import distributed
from cellvision.backends.processor import ONEDNN_VARIABLE
from cellvision.results.metadata import Environment

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.data.catalog import Catalog
    from cellvision.experiment import Experiment

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
"""The columns of ``history.csv``."""

_UNFINISHED = frozenset(
    {"history.csv", "checkpoints", "reports", "model.keras", "predictions.csv", "audit.json"}
)
"""What a training writes before ``run.json``, the history first of all."""

_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{12}(\.[a-z]+)?")
"""The temporary names of `cellvision.atomic_io`."""


def claim(folder: Path) -> Path:
    """Make sure that a folder is free to write to.

    What an interrupted training left there is cleared away, and nothing else: hidden files of
    other origin may stay.

    Raises
    ------
    errors.FolderError
        It holds a finished run or study, or files of somebody else's.
    """
    if folder.exists() and not folder.is_dir():
        raise errors.FolderError(f"{folder}: this is a file", "Name another folder")
    if (folder / "run.json").exists() or (folder / "study.json").exists():
        raise errors.FolderError(
            f"{folder}: this folder holds a finished run or study",
            f"Name another folder; its reports are made again by: cellvision report {folder}",
        )
    there = sorted(folder.iterdir()) if folder.exists() else []
    leftovers = [path for path in there if _HALF_WRITTEN.fullmatch(path.name)]
    if _is_history(folder / "history.csv"):
        leftovers += [path for path in there if path.name in _UNFINISHED]
    others = [path for path in there if path not in leftovers and path.name[0] != "."]
    if others:
        raise errors.FolderError(
            f"{folder}: this folder holds other files, such as {others[0].name!r}",
            "Name an empty folder or a new one",
        )
    # The history goes last: by it the rest is known, should this be interrupted too.
    for path in sorted(leftovers, key=lambda path: path.name == "history.csv"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.FolderError(
            f"{folder}: cannot be made: {error.strerror}", "Name another folder"
        ) from None
    return folder


def _is_history(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n") == ",".join(HISTORY)
    except (OSError, UnicodeDecodeError):
        return False


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that any reader takes: numbers that are none become null."""
    atomic_io.text(path, json.dumps(_plain(content), indent=2, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV with enough digits to tell any two float32 numbers apart."""
    with (
        atomic_io.path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        append_table(file, table, first=True)


def append_table(file: TextIO, table: pd.DataFrame, *, first: bool) -> None:
    """Write rows to an open CSV, as `write_table` does; the `first` ones below the header."""
    table.to_csv(file, header=first, index=False, float_format="%.9g", lineterminator="\n")


def history_table(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The rows of a training's history as a table."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(HISTORY))


def predictions_table(catalog: Catalog, probabilities: np.ndarray) -> pd.DataFrame:
    """One row an image: image, split, group, label, predicted and a probability a class."""
    import pandas as pd

    table = catalog.table[["image", "split", "group", "label"]].copy()
    names = np.array(catalog.class_names, dtype=object)
    table["predicted"] = names[probabilities.argmax(axis=1)]
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(names)}
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def plugins_of(experiment: Experiment) -> dict[str, str]:
    """Which distribution made each component: ``group:name`` to ``distribution==version``."""
    components = [
        experiment.dataset,
        experiment.architecture,
        *experiment.augmenters,
        *(experiment.reporters or ()),
    ]
    found = {}
    for component in components:
        registry = component.registry
        name = registry.name_of(type(component))
        found[f"{registry.group}:{name}"] = registry.requirement(name)
    return found


def environment(precision: str, devices: Sequence[str]) -> Environment:
    """Describe the software and hardware of this process."""
    import importlib_metadata
    import keras

    backend = keras.backend.backend()
    return Environment(
        cellvision=importlib_metadata.version("cellvision"),
        python=platform.python_version(),
        keras=keras.__version__,
        backend=backend,
        # Asked of the module: its distribution may be tensorflow, tensorflow-cpu, ...
        backend_version=str(importlib.import_module(backend).__version__),
        device=", ".join(devices),
        precision=precision,
        platform=platform.platform(),
        processors=os.cpu_count(),
        onednn=_onednn() if backend == "tensorflow" else None,
        processes=distributed.world_size(),
    )


def _onednn() -> bool | None:
    value = os.environ.get(ONEDNN_VARIABLE)
    return None if value is None else value != "0"
