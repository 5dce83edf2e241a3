"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

_PROCESS_CGROUPS = Path("/proc/self/cgroup")
_CGROUP_MOUNT = Path("/sys/fs/cgroup")


def available_processors() -> int:
    """Return the number of processors allotted to this process, at least 1.

    A batch system or a container often allots fewer processors than the machine has; starting
    one thread per processor of the machine would then only add memory and waiting. Counted are
    the processors that the scheduler may use for this process (``os.process_cpu_count`` from
    Python 3.13, ``os.sched_getaffinity`` before), limited by the CPU quota of its control
    group (Linux, versions 1 and 2), rounded up.

    Examples
    --------
    >>> 1 <= available_processors() <= (os.cpu_count() or 1)
    True
    """
    count = _schedulable_processors()
    quota = _cgroup_quota()
    # A quota of 1.5 processors keeps two threads busy three quarters of the time.
    return count if quota is None else max(1, min(count, -int(-quota // 1)))


def _schedulable_processors() -> int:
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def control_groups(controller: str) -> list[Path]:
    """List the folders of this process's control groups and of those above them.

    Parameters
    ----------
    controller
        What they limit: ``cpu`` or ``memory``.
    """
    try:
        lines = _PROCESS_CGROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    folders: list[Path] = []
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if hierarchy == "0":
            folders += _with_parents(_CGROUP_MOUNT, group)
        elif controller in controllers.split(","):
            folders += _with_parents(_CGROUP_MOUNT / controller, group)
    return folders


def _with_parents(mount: Path, group: str) -> list[Path]:
    """Return the folders of a group and of those above it; inside a container, of its root."""
    path = PurePosixPath("/") / group
    return [mount / folder.relative_to("/") for folder in (path, *path.parents)]


def _cgroup_quota() -> float | None:
    """Return the smallest quota along this process's control groups, in processors."""
    quotas = [_quota(folder) for folder in control_groups("cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        value = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return value if value > 0 else None
