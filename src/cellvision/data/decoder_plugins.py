"""Decoders of plugins: entry points of the group ``cellvision.decoders``, named by a suffix.

The name is the suffix without its dot, such as ``nd2``. It leads to a function that takes the
path of a file and returns its pixels, (height, width, channels) in the native dtype, or a
`DecodedImage`. Formats that cellvision reads itself are never passed to a plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.interfaces.decoded_image import DecodedImage
from cellvision.plugin_candidates import PluginCandidate, installed_candidates, is_disabled
from cellvision.plugin_errors import conflict

if TYPE_CHECKING:
    import numpy as np

GROUP = "cellvision.decoders"
"""Entry-point group of decoders."""

Decoder = Callable[[Path], "DecodedImage | np.ndarray"]


def plugin_suffixes() -> frozenset[str]:
    """Return the lower-case suffixes that plugins decode; nothing is imported."""
    return frozenset(f".{candidate.name.lower()}" for candidate in _enabled())


def _enabled() -> list[PluginCandidate]:
    return [candidate for candidate in installed_candidates(GROUP) if not is_disabled(candidate)]


def decode_by_plugin(path: Path) -> DecodedImage | None:
    """Decode a file by the plugin for its suffix; None if there is no plugin.

    Raises
    ------
    errors.PluginConflict
        Several distributions decode the suffix.
    errors.BrokenPlugin
        The plugin cannot be imported.
    errors.PluginContractError
        It returned something else than an image.
    """
    suffix = path.suffix.lower().removeprefix(".")
    matching = [candidate for candidate in _enabled() if candidate.name.lower() == suffix]
    if not matching:
        return None
    if len(matching) > 1:
        raise conflict("decoder", suffix, matching)
    return _as_image(_loaded(matching[0])(path), matching[0])


def _loaded(candidate: PluginCandidate) -> Decoder:
    try:
        loaded = candidate.load()
    except (Exception, SystemExit) as error:
        raise errors.BrokenPlugin(
            f"decoder {candidate.full_name} cannot be imported: {errors.summarize(error)}",
            f"Fix or update it: python -m pip install --upgrade {candidate.distribution}",
        ) from error
    decoder: Decoder = loaded
    return decoder


def _as_image(found: Any, candidate: PluginCandidate) -> DecodedImage:
    import numpy as np

    if isinstance(found, DecodedImage):
        return found
    if isinstance(found, np.ndarray) and found.ndim == 3:
        return DecodedImage.of_pixels(found)
    shape = getattr(found, "shape", "")
    raise errors.PluginContractError(
        f"decoder {candidate.full_name} returned {type(found).__name__} {shape}",
        "It must return an array (height, width, channels), or a cellvision.DecodedImage",
    )
