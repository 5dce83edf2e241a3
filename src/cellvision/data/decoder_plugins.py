"""Decoders of plugins: entry points of the group ``cellvision.decoders``, named by a suffix.

The name is the suffix without its dot, such as ``nd2``. It leads to a function that takes the
path of a file and returns its pixels, (height, width, channels) in the native dtype, or a
`DecodedImage`. Formats that cellvision reads itself are never passed to a plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors, interface_versions
from cellvision.interfaces.decoded_image import DecodedImage
from cellvision.plugin_candidates import (
    PluginCandidate,
    installed_candidates,
    is_disabled,
    preferred,
)
from cellvision.plugin_errors import conflict, unknown

if TYPE_CHECKING:
    import numpy as np

GROUP = "cellvision.decoders"
"""Entry-point group of decoders."""

_RETURN = (
    "It must be a function that returns an array of numbers (height, width, channels), or a "
    "cellvision.DecodedImage"
)

Decoder = Callable[[Path], "DecodedImage | np.ndarray"]


def plugin_suffixes() -> frozenset[str]:
    """Return the lower-case suffixes that plugins decode; nothing is imported."""
    return frozenset(f".{candidate.name.lower()}" for candidate in _enabled())


def _enabled() -> list[PluginCandidate]:
    return [candidate for candidate in installed_candidates(GROUP) if not is_disabled(candidate)]


def decoders_of(images: Iterable[str]) -> list[PluginCandidate]:
    """Return the plugins for the suffixes of some images; none of them is imported.

    Parameters
    ----------
    images
        Names or paths of images. Ids of data sets without files have no such suffix.
    """
    suffixes = plugin_suffixes()
    if not suffixes:
        return []
    present = {image[image.rfind(".") :].lower() for image in images if "." in image} & suffixes
    return [decoder for suffix in sorted(present) for decoder in _matching(suffix)]


def _matching(suffix: str) -> list[PluginCandidate]:
    """Return the plugins for a lower-case suffix such as ``.nd2``; one, unless they conflict."""
    return preferred([each for each in _enabled() if f".{each.name.lower()}" == suffix])


def decode_by_plugin(path: Path) -> DecodedImage | None:
    """Decode a file by the plugin for its suffix; None if there is no plugin.

    Raises
    ------
    errors.PluginConflict
        Several distributions decode the suffix.
    errors.BrokenPlugin
        The plugin cannot be imported.
    errors.PluginContractError
        It was built for another cellvision, is no function, or returned something else than an
        image.
    errors.UnreadableImage
        The decoder failed.
    """
    matching = _matching(path.suffix.lower())
    if not matching:
        return None
    if len(matching) > 1:
        raise conflict("decoder", path.suffix.lower().removeprefix("."), matching)
    decoder = _loaded(matching[0])
    try:
        decoded = decoder(path)
    except (errors.CellvisionError, MemoryError, OSError):
        raise  # these say themselves what is wrong with the file
    except (Exception, SystemExit) as error:
        raise errors.UnreadableImage(
            str(path),
            f"decoder {matching[0].full_name} failed: {errors.summarize(error)}",
            f"If other programs read the file, report it to the author of "
            f"{matching[0].distribution}",
        ) from error
    return _as_image(decoded, matching[0])


def find_decoder(suffix: str) -> tuple[PluginCandidate, Decoder]:
    """Import the only decoder of a suffix without its dot; for its checks.

    Raises
    ------
    errors.UnknownPlugin
        No distribution provides one.
    errors.PluginConflict, errors.BrokenPlugin, errors.PluginContractError
        As for `decode_by_plugin`.
    """
    matching = _matching(f".{suffix.lower()}")
    if not matching:
        raise unknown(GROUP, "decoder", suffix, _enabled())
    if len(matching) > 1:
        raise conflict("decoder", suffix, matching)
    return matching[0], _loaded(matching[0])


def _loaded(candidate: PluginCandidate) -> Decoder:
    refusal = interface_versions.refusal(GROUP, None, candidate.requires)
    if refusal:
        raise errors.PluginContractError(
            f"decoder {candidate.full_name} {refusal}", candidate.how_to_update
        )
    try:
        loaded = candidate.load()
    except (Exception, SystemExit) as error:
        raise errors.BrokenPlugin(
            f"decoder {candidate.full_name} cannot be imported: {errors.summarize(error)}",
            f"Fix or update it: python -m pip install --upgrade {candidate.distribution}",
        ) from error
    if not callable(loaded):
        raise errors.PluginContractError(
            f"decoder {candidate.full_name} is {type(loaded).__name__}, not a function", _RETURN
        )
    decoder: Decoder = loaded
    return decoder


def _as_image(found: Any, candidate: PluginCandidate) -> DecodedImage:
    """Return what a decoder returned as an image of native byte order."""
    import numpy as np

    pixels = found.pixels if isinstance(found, DecodedImage) else found
    is_array = isinstance(pixels, np.ndarray)
    if not (is_array and pixels.ndim == 3 and pixels.size and pixels.dtype.kind in "buif"):
        details = f" {pixels.shape}, {pixels.dtype}" if is_array else ""
        raise errors.PluginContractError(
            f"decoder {candidate.full_name} returned {type(pixels).__name__}{details}", _RETURN
        )
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    if not isinstance(found, DecodedImage):
        return DecodedImage.of_pixels(pixels)
    image = replace(found, pixels=pixels)
    if image.fault:
        raise errors.PluginContractError(
            f"decoder {candidate.full_name} returned {image.fault}",
            "Give the bits of a sample, and a text for each change that reading made",
        )
    return image
