"""Segment nuclei: Otsu's threshold, distance transform, watershed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision import errors

Border = Literal["keep", "drop"]

_SMALLEST_RADIUS = 1.5
"""Areas thinner than this, in pixels, are noise."""

_SMALLEST_AREA = 0.15
"""Areas below this fraction of a typical nucleus are dropped."""

_SEPARATED = 0.66
"""Fraction of the variance that lies between nuclei and background. Gaussian noise without
any nuclei has 2 / pi = 0.64."""


@dataclass(frozen=True, eq=False)
class Nuclei:
    """The nuclei of one image.

    Attributes
    ----------
    labels : numpy.ndarray
        Shape (height, width), int32: 0 is background, nuclei are numbered from 1.
    threshold : float
        Smoothed intensity from which a pixel belongs to a nucleus; NaN for an even image.
    diameter : float
        Typical diameter in pixels, given or estimated; 0 if there is no nucleus.
    contrast : float
        Fraction of the variance that lies between nuclei and background, 0 to 1.
    """

    labels: NDArray[np.int32]
    threshold: float
    diameter: float
    contrast: float

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return int(self.labels.max())

    @property
    def is_doubtful(self) -> bool:
        """Whether nuclei hardly differ from the background, so that a person should look."""
        return self.contrast < _SEPARATED


def find_nuclei(
    image: ArrayLike,
    *,
    diameter: float | None = None,
    smallest: float | None = None,
    border: Border = "keep",
    dark: bool = False,
) -> Nuclei:
    """Find the nuclei of one image.

    Parameters
    ----------
    image
        One channel, shape (height, width), any number type.
    diameter
        Typical diameter of a nucleus in pixels; by default estimated from the image.
    smallest
        Least area in square pixels; by default 15 % of a disc of that diameter.
    border
        ``"drop"`` leaves out nuclei that touch the edge of the image.
    dark
        Whether nuclei are darker than the background.

    Returns
    -------
    Nuclei
        Label mask, threshold and typical diameter.

    Raises
    ------
    errors.InvalidInput
        The image has not two dimensions, or a setting is not positive.

    Notes
    -----
    Otsu (1979), IEEE Trans. Syst. Man Cybern. 9, 62-66. Touching nuclei are divided by a
    watershed on the smoothed distance to the background, one basin per maximum.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:40, :80]
    >>> image = sum(np.hypot(rows - 20, columns - x) < 8 for x in (20, 33, 60))
    >>> find_nuclei(100 * image).count
    3
    """
    values = np.asarray(image, np.float32)
    _check(values, diameter, smallest)
    values = -values if dark else values
    smooth, threshold, contrast = _threshold(values, diameter)
    foreground = _without_noise(smooth > threshold)
    radius = _typical_radius(foreground) if diameter is None else diameter / 2
    if not foreground.any():
        return Nuclei(np.zeros(values.shape, np.int32), threshold, 0.0, contrast)
    labels = _divided(foreground, radius)
    least = _SMALLEST_AREA * np.pi * radius**2 if smallest is None else smallest
    labels = _kept(labels, least, border)
    return Nuclei(labels, -threshold if dark else threshold, 2 * radius, contrast)


def _check(values: NDArray[Any], diameter: float | None, smallest: float | None) -> None:
    if values.ndim != 2 or not values.size:
        raise errors.InvalidInput(
            f"the image has shape {values.shape}, not (height, width)", "Choose one channel."
        )
    for name, value in (("diameter", diameter), ("smallest", smallest)):
        if value is not None and not value > 0:
            raise errors.InvalidInput(f"{name} is {value}", "Give a positive number of pixels.")


def _threshold(values: NDArray[Any], diameter: float | None) -> tuple[NDArray[Any], float, float]:
    """Return the smoothed image, Otsu's threshold and how well it separates."""
    from skimage.filters import gaussian, threshold_otsu

    if values.max() == values.min():
        return values, float("nan"), 0.0
    sigma = 1.0 if diameter is None else max(diameter / 20, 0.7)
    smooth = gaussian(values, sigma, preserve_range=True)
    threshold = float(threshold_otsu(smooth))
    above = smooth > threshold
    fraction = float(above.mean())
    if not 0 < fraction < 1:
        return smooth, threshold, 0.0
    step = float(smooth[above].mean() - smooth[~above].mean())
    between = fraction * (1 - fraction) * step**2
    return smooth, threshold, float(between / smooth.var())


def _without_noise(foreground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill holes, and drop areas that are too thin for a nucleus."""
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(foreground)
    areas, count = ndimage.label(filled)
    if not count:
        return np.asarray(filled, bool)
    radii = ndimage.maximum(_distance(filled), areas, np.arange(1, count + 1))
    kept = np.concatenate([[False], np.asarray(radii) > _SMALLEST_RADIUS])
    return np.asarray(kept[areas], bool)


def _distance(foreground: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the distance to the background; that beyond the image is not known and ignored."""
    from scipy import ndimage

    padded = np.pad(foreground, 1, mode="edge")
    distance: NDArray[Any] = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    return distance


def _typical_radius(foreground: NDArray[np.bool_]) -> float:
    """Return the median over areas of the radius of the largest disc inside."""
    from scipy import ndimage

    areas, count = ndimage.label(foreground)
    if not count:
        return 0.0
    radii = ndimage.maximum(_distance(foreground), areas, np.arange(1, count + 1))
    return float(np.median(radii))


def _divided(foreground: NDArray[np.bool_], radius: float) -> NDArray[np.int32]:
    """Divide areas of touching nuclei at their waists."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    areas, _ = ndimage.label(foreground)
    # Smoothing removes maxima that come from a ragged outline.
    distance = ndimage.gaussian_filter(_distance(foreground), max(radius / 6, 0.5))
    peaks = peak_local_max(
        distance, min_distance=max(round(0.6 * radius), 1), labels=areas, exclude_border=False
    )
    markers = np.zeros(foreground.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-distance, markers, mask=foreground), np.int32)


def _kept(labels: NDArray[np.int32], least: float, border: Border) -> NDArray[np.int32]:
    """Drop small nuclei, and those at the border if asked; number the others without gaps."""
    from skimage.segmentation import clear_border, relabel_sequential

    sizes = np.bincount(labels.ravel())
    large = sizes >= least
    large[0] = False
    kept = np.where(large[labels], labels, 0)
    if border == "drop":
        kept = clear_border(kept)
    return np.asarray(relabel_sequential(kept)[0], np.int32)
