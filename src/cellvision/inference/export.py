"""Export a run's network for other programs, and check it against the run's predictions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from cellvision import atomic_io, errors
from cellvision.inference.convert import (
    FILES,
    Format,
    check_installed,
    convert,
    float32_model,
)
from cellvision.inference.engines.agreement import Predictor, check_agrees
from cellvision.inference.engines.onnxruntime_engine import OnnxRuntimeEngine
from cellvision.inference.engines.openvino_engine import OpenVinoEngine
from cellvision.locks import folder_lock
from cellvision.results.claimed_folder import naming_folder
from cellvision.results.saved_model import TOLERANCE

if TYPE_CHECKING:
    from cellvision.results.run import Run

SCHEMA = 1
"""Version of the description beside an exported network."""

_CHECKED_IMAGES = 16
"""Number of images that are predicted again."""

_RUNTIME_PACKAGES: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
    "litert": (),
    "saved_model": (),
}


def export(
    run: Run,
    format: Format,  # noqa: A002 - the usual name
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Export a run's network for use without cellvision or Keras.

    The exported network takes pixels with native intensities, float32, (images, height, width,
    channels), scales them itself, and returns a float32 probability for each class. Some of the
    run's images are predicted with it and compared with ``predictions.csv``; if they differ,
    nothing is written.

    A description beside it, ``<name>.json``, lists the classes in the order of the
    probabilities, size, channels and pixel type of the images, the intensities that count as 0
    and 1, and the result of the comparison.

    Parameters
    ----------
    run
        A finished run.
    format
        ``"onnx"`` (ONNX, one file), ``"openvino"`` (OpenVINO IR, an ``.xml`` and a ``.bin``
        file), ``"litert"`` (LiteRT, formerly TensorFlow Lite) or ``"saved_model"`` (a folder
        for TensorFlow).
    out
        File, or for ``"saved_model"`` folder, to write. By default ``model.onnx``,
        ``model.xml``, ``model.tflite`` or ``model_saved_model`` in the run's folder.

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
    >>> cv.export(cv.load_run("runs/first"), "onnx", "cells.onnx")  # doctest: +SKIP
    PosixPath('cells.onnx')
    """
    if format not in get_args(Format):
        raise errors.ExperimentError(
            f"there is no format {format!r}", f"Choose from {', '.join(get_args(Format))}."
        )
    check_installed(_RUNTIME_PACKAGES[format], f"an export as {format} is checked")
    target = _target(run, format, out)
    with (
        folder_lock(target, "export"),
        naming_folder(target.parent),
        atomic_io.workspace(target) as partial,
    ):
        _export_into(partial, run, format, target)
    return target


def _export_into(partial: Path, run: Run, format: Format, target: Path) -> None:  # noqa: A002
    """Convert and check in a temporary folder, then move the files to their place."""
    suffixes = FILES[format]
    name = target.name.removesuffix(suffixes[0])
    converted = convert(run, format, partial, name)
    description = {
        **_description(run, format, target),
        "checked": _check(run, format, converted),
    }
    if format == "onnx":
        _embed_description(converted, description)
    # The file that a program opens comes last: if it exists, everything does.
    for suffix in reversed(suffixes[1:]):
        os.replace(partial / f"{name}{suffix}", target.with_name(f"{name}{suffix}"))
    text = json.dumps(description, indent=2, ensure_ascii=False)
    atomic_io.text(target.with_name(f"{target.name}.json"), text + "\n")
    if target.is_dir():
        target.rmdir()  # it is empty
    os.replace(converted, target)


def _target(run: Run, format: Format, out: str | os.PathLike[str] | None) -> Path:  # noqa: A002
    suffix = FILES[format][0]
    if out is None:
        return run.folder / f"model{suffix}"
    target = Path(out)
    if format == "saved_model":
        if target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise errors.FolderError(
                f"{target}: a SavedModel is a folder, and this one is not empty",
                "Name a new or an empty folder.",
            )
        return target
    if target.is_dir():
        return target / f"model{suffix}"
    if target.suffix != suffix:
        raise errors.ExperimentError(
            f"{target}: the name of a file in the format {format} ends in {suffix}",
            f"Such as --out {target.with_suffix(suffix)}",
        )
    return target


def _description(run: Run, format: Format, target: Path) -> dict[str, Any]:  # noqa: A002
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
        "format": format,
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


def _check(run: Run, format: Format, converted: Path) -> dict[str, Any]:  # noqa: A002
    """Predict some recorded images with the converted network, and compare.

    A training in bfloat16 has recorded rounded probabilities. Its conversion must agree with
    the network in float32 as closely as any other, and with the record to its rounding.
    """
    engine = _open(run, format, converted)
    table = run.predictions
    rows = np.unique(np.linspace(0, len(table) - 1, _CHECKED_IMAGES).round().astype(int))
    sample = table.iloc[rows]
    recorded = sample[[f"p_{name}" for name in run.class_names]].to_numpy(np.float64)
    pixels = _recorded_images(run, list(sample["image"]))
    name = f"{run.folder}: the network as {format}"
    precision = run.metadata.environment.precision
    result: dict[str, Any] = {"images": len(pixels), "against": "predictions.csv"}
    result["largest_difference"] = check_agrees(
        name, engine, pixels, recorded, TOLERANCE[precision]
    )
    if precision != "float32":
        expected = float32_model(run).predict_on_batch(pixels.astype(np.float32))
        result["largest_difference_from_float32"] = check_agrees(
            name, engine, pixels, np.asarray(expected)
        )
    return result


def _recorded_images(run: Run, images: list[str]) -> np.ndarray:
    try:
        return run.model_input(images)
    except errors.PluginError:
        raise
    except (errors.InvalidInput, OSError) as error:
        raise errors.FolderError(
            f"{run.folder}: an export is checked on images of the run, and they cannot be read: "
            f"{errors.first_line(error)}",
            "Restore them where the run found them (run.json, experiment.dataset).",
        ) from error


def _open(run: Run, format: Format, converted: Path) -> Predictor:  # noqa: A002
    """Open a converted network with the program that it is for."""
    if format == "onnx":
        return OnnxRuntimeEngine(converted, run.preprocessing.input_shape)
    if format == "openvino":
        return OpenVinoEngine(converted, run.preprocessing.input_shape)
    from cellvision.backends import tensorflow

    if format == "litert":
        return tensorflow.LiteRt(converted)
    return tensorflow.SavedModel(converted)


def _embed_description(path: Path, description: dict[str, Any]) -> None:
    """Store the description in the ONNX file as well, which may be passed on alone."""
    import onnx

    model = onnx.load(path)
    properties = {
        "cellvision": json.dumps(description, ensure_ascii=False),
        "class_names": json.dumps(description["class_names"], ensure_ascii=False),
    }
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)
