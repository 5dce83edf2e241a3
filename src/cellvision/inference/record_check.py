"""Compare a network that was written for another program with the predictions of its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.inference.convert import float32_model
from cellvision.inference.engines.agreement import check_agrees
from cellvision.results.moved_images import IF_MOVED
from cellvision.results.saved_model import TOLERANCE

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cellvision.results.run import Run

_CHECKED_IMAGES = 16
"""Number of images that are predicted again."""


@dataclass
class _Function:
    """A function in the form of `Predictor`."""

    predict: Callable[[np.ndarray], np.ndarray]
    at_once: int


def compare_with_record(
    run: Run,
    name: str,
    predict: Callable[[np.ndarray], np.ndarray],
    at_once: int = _CHECKED_IMAGES,
) -> dict[str, JsonValue]:
    """Predict some recorded images with a converted network, and compare.

    A training in bfloat16 has recorded rounded probabilities. Its conversion must agree with
    the network in float32 as closely as any other, and with the record to its rounding.

    Parameters
    ----------
    run
        The run with the network.
    name
        Name of the format, for messages.
    predict
        Maps pixels, (images, height, width, channels) with native intensities, to
        probabilities, (images, classes).
    at_once
        Largest number of images that `predict` accepts.

    Returns
    -------
    dict
        ``images`` and ``against`` say what was compared, ``largest_difference`` is that of the
        probabilities.

    Raises
    ------
    errors.ConversionError
        Probabilities differ by more than rounding.
    errors.FolderError
        The images of the run cannot be read.
    """
    table = run.predictions
    rows = np.unique(np.linspace(0, len(table) - 1, _CHECKED_IMAGES).round().astype(int))
    sample = table.iloc[rows]
    recorded = sample[[f"p_{name}" for name in run.class_names]].to_numpy(np.float64)
    pixels = _recorded_images(run, list(sample["image"]))
    what = f"{run.folder}: the network as {name}"
    network = _Function(predict, at_once)
    precision = run.metadata.environment.precision
    result: dict[str, JsonValue] = {"images": len(pixels), "against": "predictions.csv"}
    result["largest_difference"] = check_agrees(
        what, network, pixels, recorded, TOLERANCE[precision]
    )
    if precision != "float32":
        expected = float32_model(run).predict_on_batch(pixels.astype(np.float32))
        result["largest_difference_from_float32"] = check_agrees(
            what, network, pixels, np.asarray(expected)
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
            f"{str(error).splitlines()[0]}",
            IF_MOVED,
        ) from error
