"""The images of a control: every image changed once, and kept in the cache for later studies."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from cellvision.blas_threads import one_blas_thread
from cellvision.data.array_cache import open_array
from cellvision.data.code_digests import source_digest
from cellvision.data.threaded_map import Progress, in_threads
from cellvision.interfaces.control import controls
from cellvision.studies.control_contract import checked_image

if TYPE_CHECKING:
    from cellvision.interfaces.control import Control


def changed_images(
    control: Control, pixels: np.ndarray, progress: Progress | None = None
) -> np.ndarray:
    """Return all images as a control changes them.

    Parameters
    ----------
    control
        A control that changes images.
    pixels
        The images, shape (images, height, width, channels).
    progress
        Called with the number of changed images and the number of all, unless the cache holds them.

    Returns
    -------
    numpy.ndarray
        Same shape and dtype, memory-mapped and read-only.

    Raises
    ------
    errors.PluginContractError
        The control returns images that cannot be used.
    errors.FolderError
        The cache cannot be written.
    """

    def change(target: np.ndarray) -> None:
        changed = in_threads(lambda image: checked_image(control, image), list(pixels), progress)
        with one_blas_thread():
            for row, image in enumerate(changed):
                target[row] = image

    return open_array("controls", _key(control, pixels), pixels.shape, pixels.dtype, change)


def _key(control: Control, pixels: np.ndarray) -> str:
    """Name the changed images by the control, its settings and code, and the images."""
    settings = [
        controls.name_of(type(control)),
        control.model_dump(mode="json"),
        source_digest(control),
        [pixels.dtype.str, *pixels.shape],
    ]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for image in pixels:
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]
