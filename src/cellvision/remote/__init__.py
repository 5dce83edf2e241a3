"""Images and results on remote storage: any address that fsspec reads, such as ``s3://``.

All work is done on local files. Images at an address are copied into the cache before use, and
copied again when the storage reports a change; results are written locally and uploaded when
they are complete. Interrupted transfers resume.

Every function also accepts a local path and returns it unchanged, so callers need not
distinguish paths from addresses.
"""

from __future__ import annotations

from cellvision.remote.address import Location, is_address
from cellvision.remote.transfer import fetch, file, finished, folder, locate, results, was_read

__all__ = [
    "Location",
    "fetch",
    "file",
    "finished",
    "folder",
    "is_address",
    "locate",
    "results",
    "was_read",
]
