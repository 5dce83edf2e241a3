"""Which engine computes the predictions of some images."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from cellvision import errors
from cellvision.inference.convert import installed
from cellvision.inference.engines import Engine, Name
from cellvision.inference.engines.agreement import in_parts
from cellvision.inference.engines.converted_models import PROGRAMS, make_converted, open_converted
from cellvision.inference.engines.keras_engine import KerasEngine

if TYPE_CHECKING:
    from cellvision.results.run import Run

Choice = Literal["auto", Name]

CONVERT_ABOVE = 4.0
"""Seconds of work for Keras above which a conversion pays: it was measured to take two seconds
and to halve the work."""

_GPU_DRIVERS = ("/dev/nvidia0", "/dev/kfd")

_log = logging.getLogger(__name__)


def choose(asked: Choice, run: Run, pixels: np.ndarray, images: int) -> Engine:
    """Start the engine that is asked for.

    ``"auto"`` takes

    1. Keras, where it finds a GPU;
    2. a network that was converted before, for the quickest program that is installed: it
       starts at once, without Keras;
    3. a conversion, where Keras would take more than `CONVERT_ABOVE` seconds for all images;
    4. Keras.

    Parameters
    ----------
    asked
        ``"auto"``, ``"keras"``, ``"onnxruntime"`` or ``"openvino"``.
    run
        Whose network it is.
    pixels
        Some of the images, on which a new conversion is compared with Keras.
    images
        How many there are to predict.

    Raises
    ------
    errors.InvalidInput
        There is no such engine, or it is not installed.
    errors.ConversionError
        The engine that is asked for by name cannot compute this network alike; ``"auto"``
        warns and goes on with the next.
    """
    if asked not in get_args(Choice):
        raise errors.ExperimentError(
            f"there is no engine {asked!r}", f"One of {', '.join(get_args(Choice))}"
        )
    if asked == "keras":
        return KerasEngine(run)
    if asked != "auto":
        if not installed(asked):
            raise errors.ExperimentError(
                f"the engine {asked} is not installed", f"python -m pip install {asked}"
            )
        found = open_converted(run, asked)
        return found or make_converted(run, asked, pixels, in_parts(KerasEngine(run), pixels))
    if _has_gpu():
        return KerasEngine(run)
    ready = [program for program in PROGRAMS if installed(program)]
    for program in ready:
        try:
            found = open_converted(run, program)
        except ImportError as error:
            _log.warning("%s is installed, but cannot be imported: %s", program, error)
            continue
        if found is not None:
            return found
    keras = KerasEngine(run)
    expected = in_parts(keras, pixels)
    if not ready or _seconds(keras, pixels) * images < CONVERT_ABOVE:
        return keras
    for program in ready:
        try:
            return make_converted(run, program, pixels, expected)
        except (errors.CellvisionError, ImportError) as error:
            _log.warning("%s is not used: %s", program, errors.first_line(error))
    return keras


def _has_gpu() -> bool:
    """Whether Keras computes on a GPU; it is not started to find that there is none."""
    if "keras" not in sys.modules and not any(Path(name).exists() for name in _GPU_DRIVERS):
        return False
    from cellvision.backends import devices
    from cellvision.backends.startup import start_backend

    start_backend()
    return bool(devices.accelerators())


def _seconds(engine: Engine, pixels: np.ndarray) -> float:
    """How long an engine takes for an image, once it is warm."""
    batch = np.resize(pixels, (engine.at_once, *pixels.shape[1:]))
    engine.predict(batch)
    start = time.perf_counter()
    engine.predict(batch)
    return (time.perf_counter() - start) / engine.at_once
