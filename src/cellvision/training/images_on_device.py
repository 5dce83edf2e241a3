"""Training with all images in the memory of a device (JAX).

A GPU takes a step of a small network in less time than Python needs to start the step and to send
its images. Here the images are sent once, a batch is a list of their rows, and the steps of an
execution are one compiled loop. Keras gets a whole execution as one batch, because it sends every
batch by itself.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellvision import errors
from cellvision.backends import devices
from cellvision.backends.step_loop import compiled_loop

if TYPE_CHECKING:
    import keras

    from cellvision.data.prepared import PreparedData
    from cellvision.training.batches import BatchLoader
    from cellvision.training.network import Network

_USABLE = 0.5
"""Fraction of the free memory that images may take; the network needs the rest."""

_MOST_STEPS_TOGETHER = 200
"""Most steps of an execution by default. On a GPU they take less than a second."""

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
    """A network that is trained on images in the memory of its device, addressed by row.

    The images are in that memory from `start` to `release`.

    Parameters
    ----------
    network
        The network; its weights and its optimizer are the ones that are trained.
    prepared
        The images.
    rows
        Rows of the training images in ``prepared.pixels``, ascending.
    validation_rows
        Rows of the validation images.

    Attributes
    ----------
    network : Network
        The network.
    model : keras.Model
        Takes positions in the training and validation rows in place of pixels; compiled.
    steps : list of int
        The steps of each execution of an epoch. At most three programs are compiled: for as many
        steps as are taken together, for one step, and for a last, smaller batch.
    """

    def __init__(
        self,
        network: Network,
        prepared: PreparedData,
        rows: np.ndarray,
        validation_rows: np.ndarray,
    ) -> None:
        self.network = network
        self._rows = np.concatenate([rows, validation_rows])
        training = prepared.experiment.training
        full, rest = divmod(len(rows), training.batch_size)
        together = _steps_together(full, training.steps_per_execution)
        self.steps = [together] * (full // together) + [1] * (full % together + (rest > 0))
        pixels = prepared.pixels
        self._stored = _stored_images(
            (len(self._rows), *pixels.shape[1:]),
            str(pixels.dtype),
            prepared.experiment.preprocessing.depth,
        )
        self.model = _row_model(network, self._stored)
        self.release()

    def start(self, prepared: PreparedData) -> None:
        """Prepare for a training, with these pixels of the same images."""
        self._stored.pixels.assign(prepared.pixels[self._rows])

    def executions(self, loader: BatchLoader) -> Iterator[Any]:
        """Yield, endlessly, what Keras gets for each execution: its batches, stacked."""
        batches = loader.row_batches()
        for steps in itertools.cycle(self.steps):
            rows, labels = map(np.stack, zip(*itertools.islice(batches, steps), strict=True))
            yield ((rows, labels), labels) if self.network.mixes_labels else (rows, labels)

    def release(self) -> None:
        """Free the memory of the images; Keras models wait for the garbage collector."""
        self._stored.pixels.value.delete()


def _steps_together(full: int, setting: Literal["auto"] | int) -> int:
    """Return how many of an epoch's full batches are one program.

    By default, the number that leaves the fewest batches over, which are run one by one.
    """
    if setting != "auto" or full <= _MOST_STEPS_TOGETHER:
        return max(1, min(full, _MOST_STEPS_TOGETHER if setting == "auto" else setting))
    return min(
        range(_MOST_STEPS_TOGETHER // 2, _MOST_STEPS_TOGETHER + 1),
        key=lambda size: (full % size, -size),
    )


def _stored_images(shape: tuple[int, ...], dtype: str, depth: int) -> Any:
    """Return a layer that gathers stored images by row index."""
    import keras
    from keras import ops

    class StoredImages(keras.layers.Layer):  # type: ignore[misc]
        """Images on the device."""

        def __init__(self) -> None:
            super().__init__(trainable=False, dtype="float32", name="images")
            self.pixels = self.add_weight(
                shape=shape,
                dtype=dtype,
                initializer="zeros",
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
            return (*input_shape, *shape[1:-1], depth)

    return StoredImages()


def _row_model(network: Network, stored: Any) -> keras.Model:
    """Return the training model with rows in place of pixels, compiled like it."""
    import keras

    class RowModel(keras.Model):  # type: ignore[misc]
        """Takes the steps of an execution as one program."""

        train_function: Any

        def make_train_function(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - as Keras calls it
            """Compile a loop over the batches of an execution."""
            if self.train_function is None or force:
                program = compiled_loop(self.train_step)
                self.train_function = lambda state, iterator: program(state, next(iterator))

    rows = keras.Input((), dtype="int32", name="rows")
    images = stored(rows)
    training_model = network.training_model
    if network.mixes_labels:
        labels = keras.Input((network.classes,), dtype="float32", name="labels")
        model = RowModel([rows, labels], training_model([images, labels]), dtype="float32")
    else:
        model = RowModel(rows, training_model(images), dtype="float32")
    network.compile(model, steps_per_execution=1)
    return model
