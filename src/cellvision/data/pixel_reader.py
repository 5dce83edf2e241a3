"""What, beside the content of images, decides which pixels a data set reads: its code and settings.

A fingerprint that is computed from a file does not change when an author edits `read`, when a
setting selects another plane, or when the decoder of a format is updated. The pixel cache then
compares a few images before it uses what other code has read.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cellvision.component import Component, nested_components
from cellvision.data.batch_reads import reads_for_fingerprints
from cellvision.data.decoder_plugins import decoders_of
from cellvision.data.image_stats import ImageStats, decode
from cellvision.plugin_source import source_file

if TYPE_CHECKING:
    from cellvision.interfaces.dataset import Dataset

_COMPARED = 4
"""Images that are read again if code or settings have changed."""


def reader_digest(dataset: Dataset, images: Sequence[str]) -> str:
    """Return a digest of the data set's settings and source code, and of decoders of plugins.

    Parameters
    ----------
    dataset
        The data set; data sets inside of it count as well.
    images
        Ids of its images, which may end in the suffix of a decoder.
    """
    digest = hashlib.sha256(f"{dataset!r} {source_digest(dataset)}".encode())
    for source in _decoder_sources(images):
        digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()[:16]


def source_digest(settings: Any) -> str:
    """Return a digest of the source code of the components in some settings, at any depth.

    Their own modules count, and those of their base classes; cellvision's do not.
    """
    digest = hashlib.sha256()
    for source in _sources(settings):
        digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()[:16]


def reads_alike(dataset: Dataset, stats: Sequence[ImageStats]) -> bool:
    """Whether a data set reads the pixels of a few images as they were when stored.

    Parameters
    ----------
    dataset
        The data set as it is now.
    stats
        Statistics of all its images, as they were stored.
    """
    if reads_for_fingerprints(dataset):
        return True  # the fingerprints are the pixels
    readable = [stat for stat in stats if stat.status == "read"]
    step = max(1, -(-len(readable) // _COMPARED))
    return all(decode(dataset, stat.image)[0].digest == stat.digest for stat in readable[::step])


def _sources(settings: Any) -> Iterator[bytes]:
    """Yield the source code of the components' classes, without those of cellvision itself."""
    kinds = {
        kind: None
        for component in nested_components(settings)
        for kind in type(component).__mro__
        if issubclass(kind, Component) and not kind.__module__.startswith("cellvision.")
    }
    for kind in kinds:
        # The whole module: a class may call functions beside it.
        source = _module_source(kind.__module__)
        if source is None:
            with suppress(OSError, TypeError):
                source = inspect.getsource(kind).encode()
        yield source or b""


def _decoder_sources(images: Sequence[str]) -> Iterator[bytes]:
    for decoder in decoders_of(images):
        module = decoder.module.partition(":")[0]
        yield f"{decoder.full_name}".encode()
        yield _module_source(module) or b""


def _module_source(name: str) -> bytes | None:
    """Return the content of a module's file; None if it has none, such as a notebook."""
    try:
        file = source_file(name)
        return None if file is None else file.read_bytes()
    except (ImportError, OSError):
        return None
