"""What, beside the content of images, decides which pixels a data set reads: its code and settings.

A fingerprint that is computed from a file does not change when an author edits `read`, when a
setting selects another plane, or when the decoder of a format is updated. The pixel cache then
compares a few images before it uses what other code has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING

from cellvision.data.batch_reads import reads_for_fingerprints
from cellvision.data.code_digests import module_digest, source_digest
from cellvision.data.decoder_plugins import decoders_of
from cellvision.data.image_stats import ImageStats, decode

if TYPE_CHECKING:
    from cellvision.interfaces.dataset import Dataset

_COMPARED = 4
"""Images that are read again if code or settings have changed, evenly spaced."""

_MOST_KINDS = 16
"""Kinds of images of which one each is read again, too: a change may concern one kind alone."""


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
    for decoder in _decoders(images):
        digest.update(decoder)
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
    compared = _sample([stat for stat in stats if stat.status == "read"])
    return all(decode(dataset, stat.image)[0].digest == stat.digest for stat in compared)


def _sample(readable: Sequence[ImageStats]) -> list[ImageStats]:
    """Return a few images, evenly spaced, and the first of each kind."""
    kinds: dict[tuple[object, ...], ImageStats] = {}
    for stat in readable:
        suffix = PurePath(stat.image).suffix.lower()
        kind = (suffix, stat.shape, stat.dtype, stat.bit_depth, stat.compression, stat.reason)
        kinds.setdefault(kind, stat)
    step = max(1, -(-len(readable) // _COMPARED))
    sample = [*readable[::step], *islice(kinds.values(), _MOST_KINDS)]
    return list({stat.image: stat for stat in sample}.values())


def _decoders(images: Sequence[str]) -> Iterator[bytes]:
    for decoder in decoders_of(images):
        yield decoder.full_name.encode()
        yield module_digest(decoder.module.partition(":")[0])
