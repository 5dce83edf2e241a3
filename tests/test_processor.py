"""Features of processors, and when oneDNN is switched on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellvision.backends import precision, processor

AVX2 = "fpu sse2 avx avx2 fma"
NEWER = f"{AVX2} avx512f avx512_vnni avx512_bf16"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    processor.features.cache_clear()
    yield
    processor.features.cache_clear()


def describe(monkeypatch: pytest.MonkeyPatch, folder: Path, flags: str, machine: str) -> None:
    """Make this computer look like another one."""
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: none\n")
    monkeypatch.setattr(processor, "CPUINFO", file)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.delenv(processor.ONEDNN_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("flags", "machine", "enabled", "bfloat16"),
    [
        (AVX2, "x86_64", "1", False),
        (NEWER, "x86_64", None, True),
        (f"{AVX2} avx_vnni", "x86_64", None, False),
        ("fpu sse2", "x86_64", None, False),
        ("asimd bf16", "aarch64", None, False),
    ],
)
def test_onednn_is_enabled_where_tensorflow_leaves_it_off(
    flags: str,
    machine: str,
    enabled: str | None,
    bfloat16: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    describe(monkeypatch, tmp_path, flags, machine)
    processor.enable_onednn()
    assert os.environ.get(processor.ONEDNN_VARIABLE) == enabled
    assert processor.has_bfloat16() is bfloat16


def test_a_users_setting_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(monkeypatch, tmp_path, AVX2, "x86_64")
    monkeypatch.setenv(processor.ONEDNN_VARIABLE, "0")
    processor.enable_onednn()
    assert os.environ[processor.ONEDNN_VARIABLE] == "0"


def test_nothing_changes_once_tensorflow_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(monkeypatch, tmp_path, AVX2, "x86_64")
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    processor.enable_onednn()
    assert processor.ONEDNN_VARIABLE not in os.environ


def test_no_description_of_the_processor_means_no_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "missing")
    assert processor.features() == frozenset()
    assert precision.resolve("float32") == "float32"


def test_importing_cellvision_sets_the_variable_and_imports_no_tensorflow() -> None:
    variables = {k: v for k, v in os.environ.items() if k != processor.ONEDNN_VARIABLE}
    script = (
        "import os, sys, cellvision\n"
        "from cellvision.backends import processor\n"
        "print(os.environ.get(processor.ONEDNN_VARIABLE) == ('1' if processor.needs_onednn() "
        "else None), 'tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["True", "False"]
