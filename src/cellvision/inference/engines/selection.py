"""Choose the engine that computes the predictions."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.backends.interrupts import kept_interrupts
from cellvision.inference.convert import installed
from cellvision.inference.engines import Engine
from cellvision.inference.engines.agreement import predict_in_batches
from cellvision.inference.engines.converted_models import (
    engine_exporters,
    make_converted,
    open_converted,
)
from cellvision.inference.engines.keras_engine import KerasEngine
from cellvision.interfaces.exporter import Exporter

if TYPE_CHECKING:
    from cellvision.results.run import Run

CONVERT_ABOVE = 4.0
"""Seconds of work for Keras above which a conversion pays off: measured, it takes two seconds and
halves the work."""

_GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Device files of GPUs: NVIDIA (a container may have any number), AMD, and Windows' for Linux."""

_log = logging.getLogger(__name__)


def choose_engine(
    choice: str,
    run: Run,
    pixels: np.ndarray,
    images: int,
    before_keras: Callable[[], None] = lambda: None,
) -> Engine:
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
        ``"auto"``, ``"keras"``, or the engine of an exporter, such as ``"onnxruntime"``.
    run
        The run with the network.
    pixels
        Some of the images, on which a new conversion is compared with Keras.
    images
        Number of images to predict.
    before_keras
        Called before Keras is imported, which takes seconds.

    Raises
    ------
    errors.InvalidInput
        There is no such engine, or it is not installed.
    errors.ConversionError
        The named engine cannot compute this network, or computes other probabilities;
        ``"auto"`` warns and tries the next.
    """

    def keras() -> KerasEngine:
        if "keras" not in sys.modules:
            before_keras()
        return KerasEngine(run)

    if choice == "keras":
        return keras()
    by_engine = engine_exporters()
    if choice != "auto":
        if choice not in by_engine:
            raise errors.ExperimentError(
                f"there is no engine {choice!r}",
                f"One of {', '.join(['auto', 'keras', *by_engine])}",
            )
        if not installed(choice):
            raise errors.ExperimentError(
                f"the engine {choice} is not installed", f"python -m pip install {choice}"
            )
        engine = open_converted(run, by_engine[choice])
        if engine is not None:
            return engine
        expected = predict_in_batches(keras(), pixels)
        return make_converted(run, by_engine[choice], pixels, expected)
    if _has_gpu():
        return keras()
    ready = [exporter for name, exporter in by_engine.items() if installed(name)]
    existing, usable = _existing(run, ready)
    return existing or _fastest(keras(), run, usable, pixels, images)


def _existing(run: Run, ready: Sequence[Exporter]) -> tuple[Engine | None, list[Exporter]]:
    """Open the first existing conversion, and return the exporters that are worth a new one."""
    usable: list[Exporter] = []
    for exporter in ready:
        try:
            with kept_interrupts():  # importing its package may swallow one
                engine = open_converted(run, exporter)
        except ImportError as error:
            _log.warning("%s is installed, but cannot be imported: %s", exporter.engine, error)
            continue
        except errors.CellvisionError as error:
            _log.warning("%s is not used: %s", exporter.engine, errors.first_line(error))
            continue
        if engine is not None:
            return engine, usable
        usable.append(exporter)
    return None, usable


def _fastest(
    keras: Engine, run: Run, ready: Sequence[Exporter], pixels: np.ndarray, images: int
) -> Engine:
    """Return Keras, or convert the network if that pays off."""
    expected = predict_in_batches(keras, pixels)
    if not ready or _seconds_per_image(keras, pixels) * images < CONVERT_ABOVE:
        return keras
    for exporter in ready:
        try:
            return make_converted(run, exporter, pixels, expected)
        except (errors.CellvisionError, ImportError) as error:
            _log.warning("%s is not used: %s", exporter.engine, errors.first_line(error))
    return keras


def _has_gpu() -> bool:
    """Whether Keras has a GPU; without a driver for one, Keras is not started to find out."""
    if "keras" not in sys.modules and not has_gpu_device():
        return False
    from cellvision.backends import devices
    from cellvision.backends.startup import start_backend

    start_backend()
    return bool(devices.accelerators())


def has_gpu_device(folder: Path = Path("/dev")) -> bool:
    """Whether a folder of device files has one of a GPU."""
    return any(True for pattern in _GPU_DEVICES for _ in folder.glob(pattern))


def _seconds_per_image(engine: Engine, pixels: np.ndarray) -> float:
    """Measure the seconds per image of an engine that has warmed up."""
    batch = np.resize(pixels, (engine.at_once, *pixels.shape[1:]))
    engine.predict(batch)
    start = time.perf_counter()
    engine.predict(batch)
    return (time.perf_counter() - start) / engine.at_once
