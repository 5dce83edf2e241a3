"""Choose the engine that computes the predictions."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from cellvision import errors
from cellvision.inference.convert import installed
from cellvision.inference.engines import Choice, Engine
from cellvision.inference.engines.agreement import predict_in_batches
from cellvision.inference.engines.converted_models import (
    PROGRAMS,
    Program,
    make_converted,
    open_converted,
)
from cellvision.inference.engines.keras_engine import KerasEngine

if TYPE_CHECKING:
    from cellvision.results.run import Run

CONVERT_ABOVE = 4.0
"""Seconds of work for Keras above which a conversion pays off: measured, it takes two seconds and
halves the work."""

_GPU_DRIVERS = ("/dev/nvidia0", "/dev/kfd")

_log = logging.getLogger(__name__)


def choose_engine(choice: Choice, run: Run, pixels: np.ndarray, images: int) -> Engine:
    """Start an engine.

    ``"auto"`` selects

    1. Keras, if it has a GPU;
    2. an existing conversion for the fastest installed program, which starts at once, without
       Keras;
    3. a new conversion, if Keras would take more than `CONVERT_ABOVE` seconds for all images;
    4. Keras.

    Parameters
    ----------
    choice
        ``"auto"``, ``"keras"``, ``"onnxruntime"`` or ``"openvino"``.
    run
        The run with the network.
    pixels
        Some of the images, on which a new conversion is compared with Keras.
    images
        Number of images to predict.

    Raises
    ------
    errors.InvalidInput
        There is no such engine, or it is not installed.
    errors.ConversionError
        The named engine cannot compute this network, or computes other probabilities;
        ``"auto"`` warns and tries the next.
    """
    if choice not in get_args(Choice):
        raise errors.ExperimentError(
            f"there is no engine {choice!r}", f"One of {', '.join(get_args(Choice))}"
        )
    if choice == "keras":
        return KerasEngine(run)
    if choice != "auto":
        if not installed(choice):
            raise errors.ExperimentError(
                f"the engine {choice} is not installed", f"python -m pip install {choice}"
            )
        engine = open_converted(run, choice)
        if engine is not None:
            return engine
        expected = predict_in_batches(KerasEngine(run), pixels)
        return make_converted(run, choice, pixels, expected)
    if _has_gpu():
        return KerasEngine(run)
    ready = [program for program in PROGRAMS if installed(program)]
    return _existing(run, ready) or _fastest(run, ready, pixels, images)


def _existing(run: Run, ready: Sequence[Program]) -> Engine | None:
    """Open the first existing conversion."""
    for program in ready:
        try:
            engine = open_converted(run, program)
        except ImportError as error:
            _log.warning("%s is installed, but cannot be imported: %s", program, error)
            continue
        if engine is not None:
            return engine
    return None


def _fastest(run: Run, ready: Sequence[Program], pixels: np.ndarray, images: int) -> Engine:
    """Start Keras, and convert the network if that pays off."""
    keras = KerasEngine(run)
    expected = predict_in_batches(keras, pixels)
    if not ready or _seconds_per_image(keras, pixels) * images < CONVERT_ABOVE:
        return keras
    for program in ready:
        try:
            return make_converted(run, program, pixels, expected)
        except (errors.CellvisionError, ImportError) as error:
            _log.warning("%s is not used: %s", program, errors.first_line(error))
    return keras


def _has_gpu() -> bool:
    """Whether Keras has a GPU; without a driver for one, Keras is not started to find out."""
    if "keras" not in sys.modules and not any(Path(name).exists() for name in _GPU_DRIVERS):
        return False
    from cellvision.backends import devices
    from cellvision.backends.startup import start_backend

    start_backend()
    return bool(devices.accelerators())


def _seconds_per_image(engine: Engine, pixels: np.ndarray) -> float:
    """Measure the seconds per image of an engine that has warmed up."""
    batch = np.resize(pixels, (engine.at_once, *pixels.shape[1:]))
    engine.predict(batch)
    start = time.perf_counter()
    engine.predict(batch)
    return (time.perf_counter() - start) / engine.at_once
