"""Speeds of earlier trainings on this machine, to estimate the duration of the next one."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io
from cellvision.backends import distributed
from cellvision.backends.processor import ONEDNN_VARIABLE
from cellvision.user_folders import cache_folder

if TYPE_CHECKING:
    import keras

    from cellvision.training.network import Network

_COMPARABLE = 4.0
"""Another network is ignored if its operations per image differ by more than this factor."""


@dataclass(frozen=True)
class TrainingSpeed:
    """How fast a network trains.

    Attributes
    ----------
    seconds_per_image : float
        Seconds per training image and epoch, with its share of the validation.
    startup_seconds : float
        Further seconds that the first epoch takes, mostly to compile.
    operations : float
        Multiplications of the network per image; 0 if they are not known.
    """

    seconds_per_image: float
    startup_seconds: float
    operations: float = 0.0


class EarlierSpeeds:
    """Remembers the speed of one kind of training on this machine, in the cache folder.

    Parameters
    ----------
    machine
        What distinguishes this machine, as JSON values.
    work
        What distinguishes this kind of training, as JSON values.
    operations
        Multiplications of the network per image; 0 if they are not known.
    """

    def __init__(self, machine: Sequence[Any], work: Sequence[Any], operations: float) -> None:
        self._folder = cache_folder() / "training-speeds" / _digest(machine)
        self._file = self._folder / f"{_digest(work)}.json"
        self._operations = operations

    def expected(self) -> TrainingSpeed | None:
        """Return the speed of the last such training, or else that of a comparable network.

        The time of another network is multiplied by the ratio of their operations. None if this
        machine has trained neither.
        """
        own = _read(self._file)
        if own is not None or self._operations <= 0:
            return own
        ratios = [(self._operations / speed.operations, speed) for speed in self._others()]
        if not ratios:
            return None
        ratio, nearest = min(ratios, key=lambda pair: abs(math.log(pair[0])))
        if max(ratio, 1 / ratio) > _COMPARABLE:
            return None
        seconds = nearest.seconds_per_image * ratio
        return TrainingSpeed(seconds, nearest.startup_seconds, self._operations)

    def _others(self) -> Iterator[TrainingSpeed]:
        for file in sorted(self._folder.glob("*.json")):
            speed = _read(file)
            if speed is not None and speed.operations > 0:
                yield speed

    def record(self, seconds_per_image: float, startup_seconds: float) -> None:
        """Record the speed of a training that has ended; an unwritable cache is ignored."""
        speed = TrainingSpeed(seconds_per_image, startup_seconds, self._operations)
        with suppress(OSError):
            atomic_io.text(self._file, json.dumps(asdict(speed)))


def network_speeds(network: Network) -> EarlierSpeeds:
    """Return the speeds of a network that learns in epochs."""
    experiment = network.experiment
    work = [
        experiment.architecture.model_dump(mode="json"),
        [augmenter.model_dump(mode="json") for augmenter in experiment.augmenters],
        list(experiment.preprocessing.input_shape),
        experiment.training.batch_size,
        experiment.training.images_on_device,
    ]
    here = machine(network.precision, experiment.training.devices)
    return EarlierSpeeds(here, work, operations(network.model))


def machine(precision: str, devices: str | int) -> list[Any]:
    """Return what distinguishes this machine and the devices used of it, as JSON values."""
    import keras

    return [
        platform.node(),
        platform.machine(),
        os.cpu_count(),
        keras.backend.backend(),
        precision,
        keras.distribution.list_devices(),
        devices,
        distributed.world_size(),
        os.environ.get(ONEDNN_VARIABLE, ""),
    ]


def operations(model: keras.Model) -> float:
    """Count the multiplications by weights that a model makes for one image.

    Each kernel is counted once for every position of the layer's output.
    """
    total = 0.0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += operations(layer)
            continue
        positions = math.prod(_output_shape(layer)[1:-1])
        kernels = (weight for weight in layer.weights if len(weight.shape) > 1)
        total += sum(math.prod(kernel.shape) * positions for kernel in kernels)
    return float(total)


def _output_shape(layer: keras.layers.Layer) -> tuple[int, ...]:
    """Return the shape of a layer's output; empty if it is called several times or not at all."""
    with suppress(AttributeError, ValueError):
        return tuple(side or 1 for side in layer.output.shape)
    return ()


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _read(file: Path) -> TrainingSpeed | None:
    try:
        speed = TrainingSpeed(**json.loads(file.read_bytes()))
        valid = speed.seconds_per_image > 0 and speed.startup_seconds >= 0
    except (OSError, ValueError, TypeError):
        return None
    return speed if valid else None
