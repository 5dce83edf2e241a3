"""Keras' ``fit`` on the images of an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.backends import distributed
from cellvision.training.batches import one_hot, validation_batches
from cellvision.training.memory_needs import raise_if_too_large
from cellvision.training.network import prediction_batch_size
from cellvision.training.recipe_callbacks import recipe_callbacks

if TYPE_CHECKING:
    from cellvision.training.batches import BatchLoader
    from cellvision.training.images_on_device import ImagesOnDevice
    from cellvision.training.monitor import TrainingMonitor
    from cellvision.training.network import Network


def keras_fit(
    network: Network,
    loader: BatchLoader,
    validation_rows: np.ndarray,
    monitor: TrainingMonitor,
    *,
    on_device: ImagesOnDevice | None = None,
) -> None:
    """Train a network from the loader's first epoch to the last.

    Parameters
    ----------
    network
        The network, compiled.
    loader
        Its training batches.
    validation_rows
        Rows of the validation images; none if there is no validation split.
    monitor
        Observes the training.
    on_device
        The network with all images on its device; None sends the images batch by batch.

    Raises
    ------
    errors.ExperimentError
        The memory does not suffice for a batch.
    """
    if not network.trained:  # a backend may keep the memory of an earlier training
        most = min(loader.batch_size, loader.usable)
        raise_if_too_large(network, most // distributed.world_size())
    network.trained = True
    mixed = network.mixes_labels
    model = network.training_model if on_device is None else on_device.model
    validation: dict[str, Any] = {}
    if len(validation_rows):
        # Larger batches than in training: the numbers are the same, and it is faster.
        size = prediction_batch_size(network.experiment.preprocessing.input_shape)
        if on_device is None:
            shares = loader.multiple_of
            validation["validation_data"] = validation_batches(
                loader.prepared,
                validation_rows,
                size=max(shares, size - size % shares),
                multiple_of=shares,
                mixes_labels=mixed,
            )
        else:
            numbers = np.arange(len(validation_rows), dtype=np.int32) + len(loader.rows)
            labels = one_hot(loader.prepared.labels[validation_rows], network.classes)
            images = (numbers, labels) if mixed else numbers
            validation = {"validation_data": (images, labels), "validation_batch_size": size}
    model.fit(
        _pixel_data(loader, mixed=mixed) if on_device is None else on_device.executions(loader),
        steps_per_epoch=loader.steps if on_device is None else len(on_device.steps),
        epochs=network.experiment.training.epochs,
        initial_epoch=loader.first_epoch,
        callbacks=[*recipe_callbacks(network, validates=len(validation_rows) > 0), monitor],
        shuffle=False,  # the loader shuffles
        verbose=0,
        **validation,
    )


def _pixel_data(loader: BatchLoader, *, mixed: bool) -> Any:
    """Return the loader's batches for Keras, which may take one to build with first."""
    import keras

    if keras.backend.backend() != "tensorflow":
        batches = loader.batches()
        return (((x, y), y) for x, y in batches) if mixed else batches
    from cellvision.backends import tensorflow

    prepared, grouped = loader.prepared, loader.group_size > 1
    dataset = tensorflow.dataset(
        loader.groups if grouped else loader.batches,
        prepared.experiment.preprocessing.input_shape,
        str(prepared.pixels.dtype),
        len(prepared.catalog.class_names),
        grouped=grouped,
    )
    return dataset.map(lambda x, y: ((x, y), y)) if mixed else dataset
