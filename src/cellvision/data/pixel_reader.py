"""What, beside the content of images, decides which pixels a data set reads: its code and settings.

A fingerprint that is computed from a file does not change when an author edits `read`, when a
setting selects another plane, or when the decoder of a format is updated. The pixel cache then
compares a few images before it uses what other code has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cellvision.data.batch_reads import reads_for_fingerprints
from cellvision.data.code_digests import module_digest, source_digest
from cellvision.data.decoder_plugins import decoders_of
from cellvision.data.image_stats import ImageStats, decode

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
    readable = [stat for stat in stats if stat.status == "read"]
    step = max(1, -(-len(readable) // _COMPARED))
    return all(decode(dataset, stat.image)[0].digest == stat.digest for stat in readable[::step])


def _decoders(images: Sequence[str]) -> Iterator[bytes]:
    for decoder in decoders_of(images):
        yield decoder.full_name.encode()
        yield module_digest(decoder.module.partition(":")[0])
