"""Run the same tests on the JAX backend, in a separate process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = (
    *(HERE / name for name in ("test_train.py", "test_study.py", "test_predict.py")),
    HERE / "test_model_probe.py",
    HERE / "test_recipe_metrics.py",
    HERE.parent / "plugins" / "cellvision-reporters" / "tests" / "test_probe_reporters.py",
)


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="JAX is the backend already")
@pytest.mark.parametrize(
    ("files", "marked", "least"),
    [
        pytest.param(FILES[:1], "not slow and not exhaustive", 20, marks=pytest.mark.slow),
        pytest.param(FILES[1:], "not slow and not exhaustive", 20, marks=pytest.mark.exhaustive),
        pytest.param(FILES, "slow or exhaustive", 10, marks=pytest.mark.exhaustive),
    ],
)
def test_tests_pass_on_jax(tmp_path: Path, files: Sequence[Path], marked: str, least: int) -> None:
    # The same small networks are compiled again and again.
    compiled_once = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    process = subprocess.run(
        # Tests that start processes do not depend on the backend.
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "not process and not deep",
            "-m",
            marked,
        ]
        + [str(file) for file in files],
        env={**os.environ, **compiled_once, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent,
    )
    assert process.returncode == 0, process.stdout[-5000:]
    match = re.search(r"(\d+) passed", process.stdout)
    assert match is not None
    assert int(match[1]) >= least
