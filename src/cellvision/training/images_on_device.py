"""Training with all images in the memory of a device (JAX).

A GPU takes a step of a small network in less time than Python needs to start the step and to send
its images. Here the images are sent once, a batch is a list of their rows, and the steps of an
execution are one compiled loop.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.backends import devices
from cellvision.backends.step_loop import compiled_loop

if TYPE_CHECKING:
    import keras

    from cellvision.data.prepared import PreparedData
    from cellvision.training.network import Network

_USABLE = 0.5
"""Fraction of the free memory that images may take; the network needs the rest."""

_log = logging.getLogger(__name__)


def keeps_images_on_device(prepared: PreparedData, images: int, used: list[str]) -> bool:
    """Whether to train with all images on the device: if set, or by default on one GPU with JAX.

    Parameters
    ----------
    prepared
        The images.
    images
        How many of them are for training and validation.
    used
        The devices of the training.

    Raises
    ------
    errors.ExperimentError
        ``training.images_on_device`` is true, but the backend or the devices do not support it.
    """
    import keras

    setting, backend = prepared.experiment.training.images_on_device, keras.backend.backend()
    possible = backend == "jax" and len(used) == 1
    if setting is True and not possible:
        raise errors.ExperimentError(
            "training.images_on_device needs the JAX backend and one device, not "
            f"{backend} and {len(used)}",
            "Set KERAS_BACKEND=jax and --set training.devices=1, or "
            "--set training.images_on_device=auto",
        )
    if setting != "auto" or not possible:
        return setting is True
    if used[0] not in devices.accelerators():
        return False
    fits = images * int(prepared.pixels[0].nbytes) <= _USABLE * devices.free_memory()
    if not fits:
        _log.info("the images do not fit on %s: they are sent batch by batch", used[0])
    return fits


class ImagesOnDevice:
    """A network that is trained by the rows of images that lie on its device.

    Parameters
    ----------
    network
        The network; its weights and its optimizer are the ones that are trained.
    prepared
        The images.
    rows
        Rows of all images for training and validation in ``prepared.pixels``.

    Attributes
    ----------
    network : Network
        The network.
    model : keras.Model
        Takes positions in `rows` in place of pixels; compiled.
    """

    def __init__(self, network: Network, prepared: PreparedData, rows: np.ndarray) -> None:
        self.network = network
        self._prepared = prepared
        stored = _stored_images(prepared.pixels[rows], prepared.experiment.preprocessing.depth)
        self._pixels = stored.pixels
        self.model = _row_model(network, stored)

    def hold(self, prepared: PreparedData, rows: np.ndarray) -> None:
        """Replace the images by other pixels of the same images."""
        if prepared.pixels is not self._prepared.pixels:
            self._pixels.assign(prepared.pixels[rows])
        self._prepared = prepared


def _stored_images(pixels: np.ndarray, depth: int) -> Any:
    """Return a layer that looks images up by their rows."""
    import keras
    from keras import ops

    class StoredImages(keras.layers.Layer):  # type: ignore[misc]
        """Images on the device."""

        def __init__(self) -> None:
            super().__init__(trainable=False, dtype="float32", name="images")
            self.pixels = self.add_weight(
                shape=pixels.shape,
                dtype=str(pixels.dtype),
                initializer=lambda *_, **__: ops.convert_to_tensor(pixels),
                trainable=False,
                autocast=False,
                name="pixels",
            )

        def call(self, rows: Any) -> Any:
            images = ops.take(self.pixels, rows, axis=0)
            if images.shape[-1] != depth:
                images = ops.repeat(images, depth, axis=-1)
            return ops.cast(images, "float32")

        def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
            return (*input_shape, *pixels.shape[1:-1], depth)

    return StoredImages()


def _row_model(network: Network, stored: Any) -> keras.Model:
    """Return the training model with rows in place of pixels, compiled like it."""
    import keras

    class RowModel(keras.Model):  # type: ignore[misc]
        """Takes several steps as one program."""

        train_function: Any

        def make_train_function(self, force: bool = False) -> None:
            """Compile a loop over the batches of an execution."""
            if self.train_function is not None and not force:
                return
            program = compiled_loop(self.train_step)
            self.train_function = _execution(program, lambda: self.steps_per_execution)

    rows = keras.Input((), dtype="int32", name="rows")
    images = stored(rows)
    training_model = network.training_model
    if network.mixes_labels:
        labels = keras.Input((network.classes,), dtype="float32", name="labels")
        model = RowModel([rows, labels], training_model([images, labels]), dtype="float32")
    else:
        model = RowModel(rows, training_model(images), dtype="float32")
    network.compile(model)
    return model


def _execution(program: Any, steps: Callable[[], int]) -> Callable[[Any, Iterator[Any]], Any]:
    """Return Keras' train function: it takes the steps of one execution."""

    def execute(state: Any, iterator: Iterator[Any]) -> tuple[Any, Any]:
        first = next(iterator)
        batches = [first, *itertools.islice(iterator, steps() - 1)]
        logs: Any = {}
        # The last batch of an epoch may be smaller, and cannot be part of the loop.
        for _, group in itertools.groupby(batches, key=lambda batch: len(batch[-1])):
            logs, state = program(state, list(group))
        return logs, state

    return execute
