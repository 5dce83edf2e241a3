"""The images of a run, as its model takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.threaded_map import in_threads
from cellvision.digests import native_digest
from cellvision.interfaces.control import Control, read_control
from cellvision.plain_settings import by_distribution
from cellvision.plugin_versions import how_to_install
from cellvision.results.moved_images import IF_MOVED, is_missing

if TYPE_CHECKING:
    from cellvision.interfaces.augmenter import Augmenter
    from cellvision.results.run import Run


@contextmanager
def prepared_images(run: Run, images: Sequence[str], pixels: np.ndarray) -> Iterator[None]:
    """Within the block, take pixels that a training has prepared, and decode no image again.

    Parameters
    ----------
    run
        The run.
    images
        Ids of the images.
    pixels
        Their pixels as the training used them, shape (images, height, width, channels).
    """
    run.prepared = dict(zip(images, pixels, strict=True))
    try:
        yield
    finally:
        run.prepared = {}


def read_image(run: Run, image: str, digests: Mapping[str, str]) -> np.ndarray:
    """Read an image; refuse other pixels than those of the training. See `Run.read_image`."""
    dataset = run.dataset
    try:
        pixels: np.ndarray = np.asarray(dataset.read(image))
    except errors.UnreadableImage as error:
        if not is_missing(dataset, image):
            raise
        raise errors.UnreadableImage(image, error.reason, IF_MOVED) from error
    except errors.CellvisionError:
        raise
    except Exception as error:
        raise errors.UnreadableImage(
            image,
            f"reading it failed: {errors.summarize(error)}",
            f"{IF_MOVED}; if they are in place, report it to the author of the data set "
            f"{dataset.registry.name_of(type(dataset))!r}",
        ) from error
    recorded = digests.get(image)
    if recorded is not None and native_digest(pixels) != recorded:
        raise errors.UnreadableImage(
            image,
            "its pixels have changed since the training, so the recorded answer is not about them",
            "Restore the file, or train again",
        )
    return pixels


def recorded_digests(run: Run) -> dict[str, str]:
    """Return the digests of the pixels as they were; empty if the audit cannot be read."""
    try:
        files = () if run.audit is None else run.audit.files
    except errors.FolderError:
        return {}
    return {file.file: file.digest for file in files if file.digest}


def model_input(run: Run, images: Sequence[str]) -> np.ndarray:
    """Return images as the model takes them; see `Run.model_input`."""
    preprocessing = run.preprocessing
    prepared = run.prepared
    control = _image_control(run)

    def prepare(image: str) -> np.ndarray:
        if image in prepared:
            return preprocessing.expand_channels(prepared[image])
        pixels = preprocessing.resize(preprocessing.select_channels(run.read_image(image)))
        if control is not None:
            pixels = control.change_image(pixels)
        return preprocessing.expand_channels(pixels)

    pixels = list(in_threads(prepare, images))
    return np.stack(pixels) if pixels else np.zeros((0, *preprocessing.input_shape), np.uint8)


def _image_control(run: Run) -> Control | None:
    """Return the control that changed the images, or None.

    Raises
    ------
    errors.UnknownPlugin
        Its plugin is not installed; the hint says how to install the recorded version.
    """
    metadata = run.metadata
    if metadata.image_control is None:
        return None
    name = metadata.image_control["type"]
    try:
        return read_control(by_distribution(metadata.image_control, Control, metadata.plugins))
    except errors.UnknownPlugin as error:
        requirement = metadata.plugins.get(f"cellvision.controls:{name}")
        raise errors.UnknownPlugin(
            f"{run.folder}: the control {name!r}, which changed its images, is not installed",
            error.hint if requirement is None else how_to_install([requirement], run.folder),
        ) from error


def network_input(run: Run, images: Sequence[str]) -> np.ndarray:
    """Return images as the network sees them; see `Run.network_input`."""
    zero, one = run.intensity_range
    scaled = (run.model_input(images).astype(np.float32) - zero) / (one - zero)
    return np.asarray(scaled, dtype=np.float32)


def augmented_input(run: Run, images: Sequence[str], seed: int) -> np.ndarray:
    """Return one random variation of each image; see `Run.augmented_input`."""
    import keras

    batch = run.network_input(images)
    truth = run.predictions.set_index("image").loc[list(images), "label"]
    labels = np.equal.outer(truth.to_numpy(), np.array(run.class_names)).astype(np.float32)
    for number, augmenter in enumerate(_augmenters(run)):
        layer = augmenter.build(seed + number)
        if augmenter.mixes_labels:
            batch, labels = layer((batch, labels), training=True)
        else:
            batch = layer(batch, training=True)
        batch = keras.ops.convert_to_numpy(batch)
    return np.asarray(batch, dtype=np.float32)


def _augmenters(run: Run) -> list[Augmenter]:
    """Return the augmenters of a run; needs none of its other plugins."""
    from cellvision.interfaces.augmenter import Augmenter, augmenters
    from cellvision.plain_settings import by_distribution
    from cellvision.plugin_versions import raise_if_missing, warn_of_changed_files

    plugins = run.metadata.plugins
    needed = {name: plugins[name] for name in plugins if name.startswith(f"{augmenters.group}:")}
    raise_if_missing(needed, run.folder)
    warn_of_changed_files(run.metadata, run.folder, augmenters.group)
    created = []
    listed = run.metadata.experiment.get("augmenters")
    for recorded in listed if isinstance(listed, list) else ():
        values = by_distribution(recorded, Augmenter, plugins)
        settings = dict(values) if isinstance(values, dict) else {"type": values}
        created.append(augmenters.create(str(settings.pop("type", "")), **settings))
    return created
