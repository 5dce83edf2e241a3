"""Count the processors available to this process, not those of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellvision import concurrency
from cellvision.concurrency import available_processors


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 16 processors, and control groups in a temporary folder."""
    monkeypatch.setattr(concurrency, "_schedulable_processors", lambda: 16)
    monkeypatch.setattr(concurrency, "_PROCESS_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(concurrency, "_CGROUP_MOUNT", tmp_path / "fs")
    (tmp_path / "cgroup").write_text("0::/job/step\n")
    (tmp_path / "fs" / "job" / "step").mkdir(parents=True)
    return tmp_path / "fs"


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000", 16),
        ("400000 100000", 4),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("9900000 100000", 16),
        ("0 100000", 16),
        ("many 100000", 16),
        ("400000", 16),
    ],
)
def test_version_2_quotas(cgroups: Path, quota: str, count: int) -> None:
    (cgroups / "job" / "step" / "cpu.max").write_text(quota + "\n")
    assert available_processors() == count


def test_the_smallest_quota_of_all_parent_groups_counts(cgroups: Path) -> None:
    (cgroups / "cpu.max").write_text("1200000 100000\n")
    (cgroups / "job" / "cpu.max").write_text("300000 100000\n")
    (cgroups / "job" / "step" / "cpu.max").write_text("500000 100000\n")
    assert available_processors() == 3


def test_version_1_quotas(cgroups: Path, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("3:cpuset:/\n2:cpu,cpuacct:/job\n1:name=systemd:/\n")
    group = cgroups / "cpu" / "job"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert available_processors() == 16
    (group / "cpu.cfs_quota_us").write_text("250000\n")
    assert available_processors() == 3


def test_systems_without_control_groups(cgroups: Path, tmp_path: Path) -> None:
    (tmp_path / "cgroup").unlink()
    assert available_processors() == 16


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system sets no affinity")
def test_the_affinity_limits_the_count() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from cellvision.concurrency import available_processors as count; print(count())"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert output.stdout == b"1\n"
