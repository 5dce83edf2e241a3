"""Main memory: what processes may use, and what this process has used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cellvision.concurrency import control_groups

MEMINFO = Path("/proc/meminfo")
"""File in which Linux describes the memory."""

_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of control groups, versions 2 and 1: the limit, the usage, and in ``memory.stat`` the part of it
that holds files and can be reclaimed."""


def free_memory() -> int | None:
    """Return how many bytes further processes may use; None if the system does not say.

    Linux: the available memory, at most what the limits of control groups leave. macOS, which does
    not say what is available: half of the memory.
    """
    try:
        fields = dict(line.split(":") for line in MEMINFO.read_text(encoding="ascii").splitlines())
        available = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, LookupError):
        return _half_of_all()
    groups = [_free_in_group(folder) for folder in control_groups("memory")]
    return min([available, *(free for free in groups if free is not None)])


def attainable_memory() -> int | None:
    """Return how many bytes this process can have at most; None if the system does not say.

    Linux: free memory, free swap space, and all that the process uses now, since it may free that
    for other things. Other systems extend their swap space as needed.
    """
    try:
        fields = dict(line.split(":") for line in MEMINFO.read_text(encoding="ascii").splitlines())
        swap = int(fields["SwapFree"].split()[0]) * 1024
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, LookupError):
        return None
    free = free_memory()
    return None if free is None else free + swap + pages * os.sysconf("SC_PAGE_SIZE")


def _half_of_all() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _free_in_group(folder: Path) -> int | None:
    for limit, usage, reclaimable in _GROUP_FILES:
        try:
            free = int((folder / limit).read_text()) - int((folder / usage).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            return max(0, free + int(dict(line.split() for line in lines).get(reclaimable, 0)))
        except (OSError, ValueError):  # "max": no limit
            continue
    return None


def peak_memory() -> int | None:
    """Return the most bytes that this process has used; None if the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
