"""A run's network as a file for other programs, compared with the run's own predictions."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
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
from cellvision.inference.engines.agreement import Predicts, check_agrees
from cellvision.inference.engines.onnxruntime_engine import OnnxRuntimeEngine
from cellvision.inference.engines.openvino_engine import OpenVinoEngine

if TYPE_CHECKING:
    from cellvision.results.run import Run

SCHEMA = 1
"""The version of the description that stands beside an exported network."""

_COMPARED = 16
"""How many images are predicted again."""

_ROUNDING_OF_BFLOAT16 = 0.1
"""How far the probabilities that a training in bfloat16 recorded may be from those in float32.

Every layer rounds to 8 bits, so a hundredth is usual; a wrong network is further off."""

_COMPUTED_BY: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
    "litert": (),
    "saved_model": (),
}


def export(
    run: Run,
    format: Format,  # noqa: A002 - it is called so everywhere
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a run's network for use without cellvision or Keras.

    It takes pixels with their native intensities, as float32, (images, height, width,
    channels), scales them itself, and gives a probability for each class, in float32. Some of
    the run's images are predicted again with what was written and compared with
    ``predictions.csv``; where they differ, nothing is left behind.

    Beside it comes a description, ``<name>.json``: the classes in the order of the
    probabilities, the size, channels and pixel type of the images, the intensities that count
    as 0 and 1, and what was compared.

    Parameters
    ----------
    run
        A finished run.
    format
        ``"onnx"`` (ONNX, one file), ``"openvino"`` (OpenVINO IR, an ``.xml`` and a ``.bin``),
        ``"litert"`` (LiteRT, formerly TensorFlow Lite) or ``"saved_model"`` (a folder for
        TensorFlow).
    out
        The file, or for ``"saved_model"`` the folder, to write; by default ``model.onnx``,
        ``model.xml``, ``model.tflite`` or ``model_saved_model`` in the run's folder.

    Returns
    -------
    pathlib.Path
        What was written; a program opens this.

    Raises
    ------
    errors.InvalidInput
        There is no such format, a package is missing, or `out` cannot be used.
    errors.ConversionError
        The network cannot be had in this format, or does not give the same probabilities.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.export(cv.load_run("runs/first"), "onnx", "cells.onnx")  # doctest: +SKIP
    PosixPath('cells.onnx')
    """
    if format not in get_args(Format):
        raise errors.ExperimentError(
            f"there is no format {format!r}", f"One of {', '.join(get_args(Format))}"
        )
    check_installed(_COMPUTED_BY[format], f"an export as {format} is checked")
    target = _target(run, format, out)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name[:80]}.", dir=target.parent))
    try:
        suffixes = FILES[format]
        name = target.name.removesuffix(suffixes[0])
        made = convert(run, format, partial, name)
        description = {**_description(run, format, target), "checked": _checked(run, format, made)}
        if format == "onnx":
            _tell_onnx(made, description)
        # What a program opens comes last: with it there, all is there.
        for suffix in reversed(suffixes[1:]):
            os.replace(partial / f"{name}{suffix}", target.with_name(f"{name}{suffix}"))
        text = json.dumps(description, indent=2, ensure_ascii=False)
        atomic_io.text(target.with_name(f"{target.name}.json"), text + "\n")
        if target.is_dir():
            target.rmdir()  # it is empty
        os.replace(made, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _target(run: Run, format: Format, out: str | os.PathLike[str] | None) -> Path:  # noqa: A002
    suffix = FILES[format][0]
    if out is None:
        return run.folder / f"model{suffix}"
    target = Path(out)
    if format == "saved_model":
        if target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise errors.FolderError(
                f"{target}: a SavedModel is a folder, and this place is taken",
                "Name a new or an empty folder",
            )
        return target
    if target.is_dir():
        return target / f"model{suffix}"
    if target.suffix != suffix:
        raise errors.ExperimentError(
            f"{target}: the name of a file for {format} ends in {suffix}",
            f"Such as --out {target.with_suffix(suffix)}",
        )
    return target


def _description(run: Run, format: Format, target: Path) -> dict[str, Any]:  # noqa: A002
    """What a person who gets the file needs to know."""
    preprocessing = run.preprocessing
    height, width, channels = preprocessing.input_shape
    read = (file for file in (run.audit or {}).get("files", ()) if file["status"] == "read")
    return {
        "schema": SCHEMA,
        "format": format,
        "file": target.name,
        "class_names": list(run.class_names),
        "input": {
            "shape": ["images", height, width, channels],
            "dtype": "float32",
            "pixels": "native intensities, not scaled; resized with an antialiased bilinear "
            "filter"
            + (
                "; each image stretched to 0 to 65535 by itself, channel by channel"
                if preprocessing.intensity == "per_image"
                else ""
            ),
            "trained_on": next((file["dtype"] for file in read), None),
            "channels": preprocessing.channels,
            "intensity_zero": run.metadata.intensity_zero,
            "intensity_scale": run.metadata.intensity_scale,
        },
        "output": {"shape": ["images", len(run.class_names)], "dtype": "float32"},
        "run": {
            "architecture": run.metadata.experiment["architecture"],
            "seed": run.metadata.seed,
            "trained_in": run.metadata.environment.precision,
            "cellvision": run.metadata.environment.cellvision,
            "scores": run.scores,
        },
    }


def _checked(run: Run, format: Format, made: Path) -> dict[str, Any]:  # noqa: A002
    """Predict again with what was written, and compare.

    A training in bfloat16 has recorded rounded numbers. There, what was written is held to the
    network in float32 as closely as any other, and to the record by its rounding.
    """
    engine = _opened(run, format, made)
    table = run.predictions
    places = np.unique(np.linspace(0, len(table) - 1, _COMPARED).round().astype(int))
    chosen = table.iloc[places]
    recorded = chosen[[f"p_{name}" for name in run.class_names]].to_numpy(np.float64)
    try:
        pixels = run.model_input(list(chosen["image"]))
    except errors.PluginError:
        raise
    except (errors.InvalidInput, OSError) as error:
        raise errors.FolderError(
            f"{run.folder}: the images of this run are needed to check what is exported: "
            f"{errors.first_line(error)}",
            "Put them back where the run found them (run.json, experiment.dataset)",
        ) from error
    what = f"{run.folder}: the network as {format}"
    told: dict[str, Any] = {"images": len(pixels), "against": "predictions.csv"}
    if run.metadata.environment.precision == "float32":
        return {**told, "largest_difference": check_agrees(what, engine, pixels, recorded)}
    plain = float32_model(run).predict_on_batch(pixels.astype(np.float32))
    return {
        **told,
        "largest_difference": check_agrees(what, engine, pixels, recorded, _ROUNDING_OF_BFLOAT16),
        "largest_difference_from_float32": check_agrees(what, engine, pixels, np.asarray(plain)),
    }


def _opened(run: Run, format: Format, made: Path) -> Predicts:  # noqa: A002
    """Open what was written, with the program that it is for."""
    if format == "onnx":
        return OnnxRuntimeEngine(made, run.preprocessing.input_shape)
    if format == "openvino":
        return OpenVinoEngine(made, run.preprocessing.input_shape)
    from cellvision.backends import tensorflow

    if format == "litert":
        return tensorflow.LiteRt(made)
    return tensorflow.SavedModel(made)


def _tell_onnx(path: Path, description: dict[str, Any]) -> None:
    """Keep the description in the file itself too, which may travel alone."""
    import onnx

    model = onnx.load(path)
    properties = {
        "cellvision": json.dumps(description, ensure_ascii=False),
        "class_names": json.dumps(description["class_names"], ensure_ascii=False),
    }
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)
