"""Rotate images."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cellvision import errors

from .pipeline import Progress, Result, Verb, decoded, run_verb
from .records import Output
from .sources import SourceImage, output_stems
from .write import is_colour, suffix_for, write_image

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray

Corners = Literal["fill", "crop", "reflect"]


def rotate_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    angles: Sequence[float],
    corners: Corners = "fill",
    fill: float = 0,
    progress: Progress | None = None,
) -> pandas.DataFrame:
    """Write a copy of every image at every angle, in the image's own dtype.

    Multiples of 90 degrees are exact; at 90 and 270, height and width change places. Other angles
    are interpolated linearly, so that no value leaves the range of its neighbours: a 12-bit image
    in a 16-bit file stays 12-bit. Interpolation smooths noise a little; if that may matter,
    rotate all classes by the same angles. Outputs are named `<stem>_rot<angle>`.

    Parameters
    ----------
    source
        An image, or a folder with images in `*`, `<class>/*` or `<split>/<class>/*`.
    out
        A new folder outside of `source`, or the one that the same call began before.
    angles
        Degrees, counter-clockwise. 0 gives an unchanged copy.
    corners
        What to put into the corners, which lie outside of the image: ``"fill"`` one value;
        ``"reflect"`` the mirrored image; ``"crop"`` nothing: only the largest upright rectangle
        inside the rotated image is kept (its size depends on the angle). With fill and reflect,
        height and width stay.
    fill
        The value for ``"fill"``, in the image's own units.
    progress
        Called with the number of finished images and of all images.

    Returns
    -------
    pandas.DataFrame
        The manifest, also written to `out/manifest.csv`.

    Raises
    ------
    cellvision.errors.InvalidInput
        No angle, one angle twice (0 and 360 are the same), or a fill that the dtype cannot hold.
    cellvision.errors.FolderError
        `source` is missing or empty; `out` is in use or holds anything else.
    cellvision.errors.UnreadableImages
        Some images cannot be decoded; the others are finished.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> from cellvision import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> tifffile.imwrite(folder / "cell.tif", numpy.zeros((32, 48), "uint16"))
    >>> manifest = prepare.rotate_images(folder / "cell.tif", folder / "turned", angles=[0, 90])
    >>> list(manifest["file"])
    ['cell_rot0.tif', 'cell_rot90.tif']
    """
    angles = [float(angle) + 0.0 for angle in angles]  # + 0.0: no -0
    _check(angles, corners, fill)

    def make(image: SourceImage, target: str, folder: Path) -> Result:
        with decoded(image) as content:
            _check_fill(image, content.pixels.dtype, fill)
            suffix, colour = suffix_for(content.pixels, image.path), is_colour(image.path)
            outputs = []
            for angle in angles:
                file = f"{target}_rot{_degrees(angle)}{suffix}"
                copy = rotate(content.pixels, angle, corners=corners, fill=fill)
                write_image(folder / file, copy, colour=colour)
                step = f"rotate {_degrees(angle)}{_corners(angle, corners, fill)}"
                outputs.append(Output(file=file, transformation=step))
            return Result(tuple(outputs), content.notes)

    parameters = {"angles": angles, "corners": corners, "fill": fill}
    return run_verb(Verb("rotate", parameters, output_stems, make), source, out, progress)


def rotate(pixels: NDArray[Any], angle: float, *, corners: Corners, fill: float) -> NDArray[Any]:
    """Rotate (H, W, C) pixels counter-clockwise by `angle` degrees; see `rotate_images`."""
    import numpy as np
    from scipy import ndimage

    if angle % 90 == 0:
        return np.rot90(pixels, int(angle // 90) % 4)
    height, width, channels = pixels.shape
    shape = (height, width)
    if corners == "crop":
        shape = inscribed(height, width, angle)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # From a position in the result to its position in the image, rows pointing down.
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    offset = (np.array([height, width]) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)
    result = np.empty((*shape, channels), pixels.dtype)
    for channel in range(channels):
        rotated = ndimage.affine_transform(
            pixels[:, :, channel],
            matrix,
            offset,
            output_shape=shape,
            output=np.float64,
            order=1,
            mode={"fill": "constant", "reflect": "reflect", "crop": "nearest"}[corners],
            cval=fill,
        )
        if np.issubdtype(pixels.dtype, np.inexact):
            result[:, :, channel] = rotated
        else:
            result[:, :, channel] = np.rint(rotated)
    return result


def inscribed(height: int, width: int, angle: float) -> tuple[int, int]:
    """Return height and width of the largest upright rectangle inside a rotated image.

    Pixel centres of the rectangle lie between pixel centres of the image, so that nothing from
    outside is mixed in.
    """
    sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    # Between the centres of the outermost pixels.
    h, w = height - 1, width - 1
    long, short = max(h, w), min(h, w)
    if short <= 2 * sine * cosine * long or abs(sine - cosine) < 1e-9:
        # Two corners touch the middle of the long sides.
        along, across = short / 2 / sine, short / 2 / cosine
        new_w, new_h = (along, across) if w >= h else (across, along)
    else:
        # All four corners touch a side.
        double = cosine**2 - sine**2
        new_w, new_h = (w * cosine - h * sine) / double, (h * cosine - w * sine) / double
    return int(new_h + 1e-6) + 1, int(new_w + 1e-6) + 1


def _degrees(angle: float) -> str:
    return format(angle, ".10g")


def _corners(angle: float, corners: Corners, fill: float) -> str:
    """Describe the corners for the manifest, unless they are the default."""
    if angle % 90 == 0 or (corners == "fill" and fill == 0):
        return ""
    return f" corners={corners}" + (f" fill={fill:.10g}" if corners == "fill" else "")


def _check(angles: Sequence[float], corners: Corners, fill: float) -> None:
    if not angles:
        raise errors.InvalidInput("rotate needs at least one angle", "For instance --angles -5,5.")
    if not all(math.isfinite(angle) for angle in angles):
        raise errors.InvalidInput("an angle is not a finite number", "Give degrees.")
    seen: dict[str, float] = {}
    for angle in angles:
        turn = format(angle % 360, ".6f")
        if turn in seen:
            raise errors.InvalidInput(
                f"angles {_degrees(seen[turn])} and {_degrees(angle)} give the same copy",
                "Give each angle once.",
            )
        seen[turn] = angle
    if corners not in get_args(Corners):
        raise errors.InvalidInput(f"unknown corners {corners!r}", "Use fill, crop or reflect.")
    if fill != 0 and corners != "fill":
        raise errors.InvalidInput(
            f"a fill value is of no use with corners {corners}", "Leave --fill out."
        )


def _check_fill(image: SourceImage, dtype: np.dtype[Any], fill: float) -> None:
    import numpy as np

    if dtype.kind == "f":
        return
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not (low <= fill <= high and fill == int(fill)):
        raise errors.InvalidInput(
            f"{image.name}: {dtype} cannot hold the fill value {fill:g}",
            f"Choose a whole number from {low} to {high}.",
        )
