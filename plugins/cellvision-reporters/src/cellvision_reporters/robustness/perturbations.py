"""Small changes to an image that should not change its class, each with a strength in its unit."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Scale:
    """What the evaluated images use of the intensity range; 0 to 1 is all of it.

    Attributes
    ----------
    low, high : float
        From the 0.2th to the 99.8th percentile.
    least, most : float
        Between which changed intensities are kept: 0 and 1, or further where images are.
    """

    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, images: np.ndarray) -> Scale:
        """Measure images as the network sees them."""
        import numpy as np

        low, high = (float(value) for value in np.percentile(images, [0.2, 99.8]))
        least, most = min(float(images.min()), 0.0), max(float(images.max()), 1.0)
        return cls(low, high if high > low else low + 1.0, least, most)

    @property
    def span(self) -> float:
        """The range that the images use."""
        return self.high - self.low

    def kept(self, images: np.ndarray) -> np.ndarray:
        """Cut off what no image can hold."""
        import numpy as np

        return np.asarray(np.clip(images, self.least, self.most), dtype=np.float32)


Apply = Callable[["np.ndarray", float, "np.random.Generator", Scale], "np.ndarray"]
"""Changes one image of (height, width, channels) by a strength."""


@dataclass(frozen=True)
class Change:
    """One kind of change.

    Attributes
    ----------
    name : str
        Its name.
    unit : str
        Of the strengths.
    strengths : tuple of float
        From the mildest on.
    apply : callable
        Does it, to one image.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Apply

    def changed(
        self, images: np.ndarray, names: Sequence[str], strength: float, seed: int, scale: Scale
    ) -> np.ndarray:
        """Change images, each in its own way: what is by chance depends on seed and name."""
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np

        def one(image: np.ndarray, name: str) -> np.ndarray:
            chance = np.random.default_rng([seed, zlib.crc32(f"{self.name} {name}".encode())])
            return self.apply(image, strength, chance, scale)

        with ThreadPoolExecutor() as pool:
            made = list(pool.map(one, images, names))
        return scale.kept(np.stack(made))


def in_words(strength: float, unit: str) -> str:
    """Say a strength with its unit, such as ``10°`` or ``×0.7``."""
    if unit == "share of the range used":
        return f"{100 * strength:.3g}\N{NO-BREAK SPACE}%"
    short = {"degrees": "{}°", "factor": "×{}", "quality": "{}"}
    return short.get(unit, "{}\N{NO-BREAK SPACE}" + unit).format(f"{strength:.3g}")


def rotated(image: np.ndarray, degrees: float, chance: np.random.Generator, _: Scale) -> np.ndarray:
    """Turn to one side or the other; the corners are filled with the mirrored image."""
    from scipy import ndimage

    turned: np.ndarray = ndimage.rotate(
        image, degrees * chance.choice([-1, 1]), reshape=False, order=1, mode="reflect"
    )
    return turned


def shifted(image: np.ndarray, pixels: float, chance: np.random.Generator, _: Scale) -> np.ndarray:
    """Move in any direction; the edge is filled with the mirrored image."""
    import numpy as np
    from scipy import ndimage

    angle = chance.uniform(0, 2 * np.pi)
    way = (pixels * np.sin(angle), pixels * np.cos(angle), 0)
    moved: np.ndarray = ndimage.shift(image, way, order=1, mode="reflect")
    return moved


def brightened(image: np.ndarray, factor: float, _: np.random.Generator, __: Scale) -> np.ndarray:
    """Multiply all intensities, as a longer or shorter exposure does."""
    return image * factor


def blurred(image: np.ndarray, pixels: float, _: np.random.Generator, __: Scale) -> np.ndarray:
    """Blur by a Gaussian of this SD."""
    from scipy import ndimage

    soft: np.ndarray = ndimage.gaussian_filter(image, (pixels, pixels, 0))
    return soft


def noised(
    image: np.ndarray, share: float, chance: np.random.Generator, scale: Scale
) -> np.ndarray:
    """Add Gaussian noise of this SD to every pixel and channel."""
    return image + chance.normal(0, share * scale.span, image.shape)


def compressed(
    image: np.ndarray, quality: float, _: np.random.Generator, scale: Scale
) -> np.ndarray:
    """Write as JPEG and read again: 8 bits over the range that the images use.

    Three channels are compressed together, as colours; others one by one.
    """
    import numpy as np
    from PIL import Image

    unit = np.clip((image - scale.low) / scale.span, 0, 1)
    bytes_ = np.rint(255 * unit).astype(np.uint8)
    planes = [bytes_] if image.shape[-1] == 3 else list(np.moveaxis(bytes_, -1, 0))
    read = []
    for plane in planes:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).save(file, "JPEG", quality=round(quality))
        again = np.asarray(Image.open(file), np.float32)
        read.append(again if again.ndim == 3 else again[..., None])
    whole: np.ndarray = np.concatenate(read, axis=-1) / 255 * scale.span + scale.low
    return whole
