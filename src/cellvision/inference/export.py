"""Export a run for other programs: an exporter writes and verifies it, this puts it in place."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cellvision import atomic_io, errors
from cellvision.inference.convert import check_installed
from cellvision.interfaces.exporter import Exporter, exporters
from cellvision.locks import folder_lock
from cellvision.results.claimed_folder import naming_folder
from cellvision.results.run import Run, load_run

SCHEMA = 1
"""Version of the description beside an export."""

_NAME = "model"
"""What the names of an exporter's files begin with."""

_REPORT = "Report it to the plugin's author, who can check it with cellvision.testing."

T = TypeVar("T")


def export(
    run: Run | str | os.PathLike[str],
    format: str | Exporter,  # noqa: A002 - the usual name
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Export a run's network for use without cellvision or Keras.

    An exported network takes pixels with native intensities, float32, (images, height, width,
    channels), scales them itself, and returns a float32 probability for each class. Some of the
    run's images are predicted with it and compared with ``predictions.csv``; if they differ,
    nothing is written.

    A description beside it, ``<name>.json``, lists the classes in the order of the
    probabilities, size, channels and pixel type of the images, the intensities that count as 0
    and 1, and the result of the comparison.

    Parameters
    ----------
    run
        A finished run, or its folder.
    format
        Name of an installed exporter, such as ``"onnx"``, or an exporter with settings.
        ``cv.exporters.names()`` lists the installed ones.
    out
        File or folder to write. By default ``model`` with the suffix of the format, such as
        ``model.onnx``, in the run's folder. A file or an earlier export is replaced.

    Returns
    -------
    pathlib.Path
        The file or folder that a program opens.

    Raises
    ------
    errors.InvalidInput
        There is no such format, a package is missing, or `out` cannot be used.
    errors.ConversionError
        The network cannot be converted, or gives other probabilities.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.export("runs/first", "onnx", "cells.onnx")  # doctest: +SKIP
    PosixPath('cells.onnx')
    """
    if isinstance(run, str | os.PathLike):
        run = load_run(run)
    exporter = exporters.create(format) if isinstance(format, str) else format
    name = exporters.name_of(type(exporter))
    check_installed(exporter.packages, f"an export as {name} is written and checked")
    target = _target(run, exporter, name, out)
    with (
        folder_lock(target, "export"),
        naming_folder(target.parent),
        atomic_io.workspace(target) as partial,
    ):
        _export_into(partial, run, exporter, name, target)
    return target


def _export_into(partial: Path, run: Run, exporter: Exporter, name: str, target: Path) -> None:
    """Write and verify in a temporary folder, then move the files to their place."""
    origin = exporters.origin_of(type(exporter))
    opened = _returned(origin, exporter.export, run, partial)
    _check_files(exporter, origin, opened, partial)
    checked = _compared(origin, _returned(origin, exporter.verify, run, partial))
    description = {**_description(run, name, target), "checked": checked}
    _returned(origin, exporter.embed_description, copy.deepcopy(description), partial)
    _check_files(exporter, origin, opened, partial, "verify() or embed_description() left")
    new_name = target.name.removesuffix(exporter.suffix)
    _check_free(target, exporter, name)  # others may have written during the conversion
    places = {
        target.with_name(new_name + path.name.removeprefix(_NAME)): path
        for path in sorted(partial.iterdir())
        if path != opened
    }
    for place in places:
        if place.is_dir() and not _was_exported(target, name):
            raise errors.FolderError(
                f"{place}: the format {name} writes this beside {target.name}, and no earlier "
                "export wrote what is there",
                "Name a new file (--out), or remove this folder.",
            )
    described = partial / "description"
    text = json.dumps(description, indent=2, ensure_ascii=False)
    described.write_bytes(f"{text}\n".encode())
    _put({**places, _description_path(target): described}, opened, target, partial)


def _put(beside: dict[Path, Path], opened: Path, target: Path, partial: Path) -> None:
    """Put an export in place of an earlier one, whole or not at all.

    What a program opens is removed first and comes last, so that it is never beside companions
    of another export, even if this process is killed.

    Parameters
    ----------
    beside
        Companions and, last, the description, by their place.
    opened, target
        What a program opens, and its place.
    partial
        Temporary folder, removed afterwards together with the earlier export.
    """
    earlier = partial / "earlier"
    earlier.mkdir()
    # A single file is replaced at once, so that programs can always open it.
    places = [target] if len(beside) > 1 or target.is_dir() else []
    with contextlib.ExitStack() as undo:
        for place in [*places, *beside]:
            if os.path.lexists(place):
                os.replace(place, earlier / place.name)
                undo.callback(os.replace, earlier / place.name, place)
        # The description first: it says whose the companions are.
        for place, path in [*reversed(beside.items()), (target, opened)]:
            os.replace(path, place)
            undo.callback(os.replace, place, path)
        undo.pop_all()


def _returned(origin: str, method: Callable[..., T], *arguments: Any) -> T:
    """Call a method of an exporter, which must not end the process."""
    try:
        return method(*arguments)
    except SystemExit as error:
        raise errors.PluginContractError(
            f"{origin}: {method.__name__}() ends the process: {errors.summarize(error)}",
            _REPORT,
        ) from error


def _compared(origin: str, returned: object) -> dict[str, Any]:
    """Return what `verify` returned, if it can be written into the description."""
    if not isinstance(returned, Mapping):
        raise errors.PluginContractError(
            f"{origin}: verify() returned {type(returned).__name__}, not a table of what it "
            "compared",
            _REPORT,
        )
    try:
        json.dumps(dict(returned))
    except (TypeError, ValueError) as error:
        raise errors.PluginContractError(
            f"{origin}: verify() returned what is no JSON: {errors.summarize(error)}",
            _REPORT,
        ) from error
    return dict(returned)


def _check_files(
    exporter: Exporter, origin: str, opened: object, folder: Path, by: str = "export() wrote"
) -> None:
    """Raise PluginContractError if the files are not those that an exporter may write."""
    expected = folder / f"{_NAME}{exporter.suffix}"
    kind = "folder" if exporter.writes_folder else "file"
    fault = ""
    if opened != expected:
        fault = f"export() returned {_described(opened, folder)}, not the path of {expected.name}"
    elif not (expected.is_dir() if kind == "folder" else expected.is_file()):
        fault = f"{by} no {kind} {expected.name}"
    if fault:
        raise errors.PluginContractError(f"{origin}: {fault} in its folder", _REPORT)
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(_NAME))
    if others:
        raise errors.PluginContractError(
            f"{origin}: {by} {others[0]}, a name that does not begin with {_NAME}",
            _REPORT,
        )


def _described(opened: object, folder: Path) -> str:
    """Return what `export` returned, in words; paths within its temporary folder."""
    if isinstance(opened, Path) and opened.is_relative_to(folder):
        return f"the path of {opened.relative_to(folder)}"
    if isinstance(opened, str | Path):
        return f"the {'text' if isinstance(opened, str) else 'path'} {str(opened)!r}"
    return type(opened).__name__


def _target(run: Run, exporter: Exporter, name: str, out: str | os.PathLike[str] | None) -> Path:
    """Return where to write; raise an error if something else is there."""
    target = run.folder if out is None else Path(out)
    if target.is_dir() and (out is None or not exporter.writes_folder):
        target = target / f"{_NAME}{exporter.suffix}"
    _check_free(target, exporter, name)
    if exporter.writes_folder:
        return target
    if not target.name.endswith(exporter.suffix) or target.name == exporter.suffix:
        raise errors.ExperimentError(
            f"{target}: the name of a file in the format {name} ends in {exporter.suffix}",
            f"Such as --out {target.with_suffix(exporter.suffix)}",
        )
    return target


def _check_free(target: Path, exporter: Exporter, name: str) -> None:
    """Raise FolderError if an export would replace what no earlier export wrote."""
    fault = ""
    if not exporter.writes_folder:
        fault = "a file, and this is a folder" if target.is_dir() else ""
    elif target.is_dir():
        ours = not any(target.iterdir()) or _was_exported(target, name)
        fault = "" if ours else "a folder, and this one is not empty"
    elif target.exists():
        fault = "a folder, and this is a file"
    if fault:
        kind = "or an empty folder" if exporter.writes_folder else "file"
        raise errors.FolderError(
            f"{target}: the format {name} writes {fault}",
            f"Name a new {kind} (--out), or remove this one.",
        )


def _was_exported(target: Path, name: str) -> bool:
    """Whether the description beside a folder says that an export in this format wrote it."""
    try:
        description = json.loads(_description_path(target).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    expected = {"format": name, "file": target.name}
    return isinstance(description, dict) and expected.items() <= description.items()


def _description_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _description(run: Run, name: str, target: Path) -> dict[str, Any]:
    """Return what a user of the file needs to know."""
    preprocessing = run.preprocessing
    height, width, channels = preprocessing.input_shape
    metadata = run.metadata
    files = () if run.audit is None else run.audit.files
    pixels = "native intensities, not scaled; resized with an antialiased bilinear filter"
    if preprocessing.intensity == "per_image":
        pixels += "; each channel of each image stretched to 0 to 65535"
    return {
        "schema": SCHEMA,
        "format": name,
        "file": target.name,
        "class_names": list(run.class_names),
        "input": {
            "shape": ["images", height, width, channels],
            "dtype": "float32",
            "pixels": pixels,
            "trained_on": next((file.dtype for file in files if file.status == "read"), None),
            "channels": preprocessing.channels,
            "intensity_zero": metadata.intensity_zero,
            "intensity_scale": metadata.intensity_scale,
        },
        "output": {"shape": ["images", len(run.class_names)], "dtype": "float32"},
        "run": {
            "architecture": metadata.experiment["architecture"],
            "seed": metadata.seed,
            "trained_in": metadata.environment.precision,
            "cellvision": metadata.environment.cellvision,
            "scores": {split: score.model_dump() for split, score in run.scores.items()},
        },
    }
