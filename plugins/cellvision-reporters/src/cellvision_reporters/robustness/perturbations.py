"""Small perturbations of an image that should not change its class, each with a strength."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FRACTION_OF_RANGE = "fraction of the range used"
"""Unit of strengths that are relative to the intensity range of the images."""


@dataclass(frozen=True)
class IntensityRange:
    """The part of the intensity range that the evaluated images use; 0 to 1 is the full range.

    Attributes
    ----------
    low, high : float
        The 0.2th and the 99.8th percentile.
    lowest, highest : float
        Limits of perturbed intensities: 0 and 1, or those of the images if they are wider.
    """

    low: float
    high: float
    lowest: float
    highest: float

    @classmethod
    def from_images(cls, images: np.ndarray) -> IntensityRange:
        """Measure images as the network sees them."""
        import numpy as np

        low, high = (float(value) for value in np.percentile(images, [0.2, 99.8]))
        lowest, highest = min(float(images.min()), 0.0), max(float(images.max()), 1.0)
        return cls(low, high if high > low else low + 1.0, lowest, highest)

    @property
    def width(self) -> float:
        """The range that the images use."""
        return self.high - self.low

    def clip(self, images: np.ndarray) -> np.ndarray:
        """Clip intensities to those that an image can hold."""
        import numpy as np

        return np.asarray(np.clip(images, self.lowest, self.highest), dtype=np.float32)


Apply = Callable[["np.ndarray", float, "np.random.Generator", IntensityRange], "np.ndarray"]
"""Perturbs one image of (height, width, channels) with a strength."""


@dataclass(frozen=True)
class Perturbation:
    """One kind of perturbation.

    Attributes
    ----------
    name : str
        Its name.
    unit : str
        Unit of the strengths.
    strengths : tuple of float
        The strengths, the mildest first.
    function : callable
        Perturbs one image.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    function: Apply

    def apply(
        self,
        images: np.ndarray,
        names: Sequence[str],
        strength: float,
        seed: int,
        limits: IntensityRange,
    ) -> np.ndarray:
        """Perturb images; random choices depend on the seed and the name of the image only."""
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np

        def perturb(image: np.ndarray, name: str) -> np.ndarray:
            key = zlib.crc32(f"{self.name} {name}".encode("utf-8", "surrogatepass"))
            return self.function(image, strength, np.random.default_rng([seed, key]), limits)

        with ThreadPoolExecutor() as pool:
            return limits.clip(np.stack(list(pool.map(perturb, images, names))))


def format_strength(strength: float, unit: str) -> str:
    """Format a strength with its unit, such as ``10°`` or ``×0.7``."""
    if unit == FRACTION_OF_RANGE:
        return f"{100 * strength:.3g}\N{NO-BREAK SPACE}%"
    forms = {"degrees": "{}°", "factor": "×{}", "quality": "{}"}
    return forms.get(unit, "{}\N{NO-BREAK SPACE}" + unit).format(f"{strength:.3g}")


def rotate(
    image: np.ndarray, degrees: float, random: np.random.Generator, _: IntensityRange
) -> np.ndarray:
    """Rotate clockwise or counterclockwise; mirror the image into the corners."""
    from scipy import ndimage

    rotated: np.ndarray = ndimage.rotate(
        image, degrees * random.choice([-1, 1]), reshape=False, order=1, mode="reflect"
    )
    return rotated


def shift(
    image: np.ndarray, pixels: float, random: np.random.Generator, _: IntensityRange
) -> np.ndarray:
    """Shift in a random direction; mirror the image into the edge."""
    import numpy as np
    from scipy import ndimage

    angle = random.uniform(0, 2 * np.pi)
    offset = (pixels * np.sin(angle), pixels * np.cos(angle), 0)
    shifted: np.ndarray = ndimage.shift(image, offset, order=1, mode="reflect")
    return shifted


def scale_intensity(
    image: np.ndarray, factor: float, _: np.random.Generator, __: IntensityRange
) -> np.ndarray:
    """Multiply all intensities, as a longer or shorter exposure does."""
    return image * factor


def blur(
    image: np.ndarray, pixels: float, _: np.random.Generator, __: IntensityRange
) -> np.ndarray:
    """Blur with a Gaussian of this SD."""
    from scipy import ndimage

    blurred: np.ndarray = ndimage.gaussian_filter(image, (pixels, pixels, 0))
    return blurred


def add_noise(
    image: np.ndarray, fraction: float, random: np.random.Generator, limits: IntensityRange
) -> np.ndarray:
    """Add Gaussian noise of this SD to every pixel and channel."""
    return image + random.normal(0, fraction * limits.width, image.shape)


def compress_jpeg(
    image: np.ndarray, quality: float, _: np.random.Generator, limits: IntensityRange
) -> np.ndarray:
    """Write as JPEG and read back, with 8 bits over the range that the images use.

    Three channels are compressed together as colours, others one by one.
    """
    import numpy as np
    from PIL import Image

    scaled = np.clip((image - limits.low) / limits.width, 0, 1)
    bytes_ = np.rint(255 * scaled).astype(np.uint8)
    planes = [bytes_] if image.shape[-1] == 3 else list(np.moveaxis(bytes_, -1, 0))
    decoded = []
    for plane in planes:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).save(file, "JPEG", quality=round(quality))
        pixels = np.asarray(Image.open(file), np.float32)
        decoded.append(pixels if pixels.ndim == 3 else pixels[..., None])
    joined: np.ndarray = np.concatenate(decoded, axis=-1)
    return joined / 255 * limits.width + limits.low
