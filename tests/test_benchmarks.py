"""The benchmarks run and say what they should; no test looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not part of what is installed"
)


def run(target: Path, *words: str) -> tuple[str, Any]:
    """Run the command and read back what it wrote."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(target), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, json.loads(target.read_text())


@pytest.mark.slow
def test_starting_is_measured_with_plugins_that_do_not_exist(tmp_path: Path) -> None:
    printed, content = run(tmp_path / "content.json", "--only", "start", "--markdown")
    (result,) = content["results"]["start"]
    values = {row["label"]: row["values"] for row in result["rows"]}
    assert len(values) == 9
    assert all(value > 0 for numbers in values.values() for value in numbers)
    assert {ratio["goal"] for ratio in result["ratios"]} == {"≤ 1"}
    assert "### (h) Start-up" in printed
    assert content["machine"]["versions"]["numpy"] == np.__version__


@pytest.mark.exhaustive
def test_training_and_its_peers_give_numbers_or_say_why_not(tmp_path: Path) -> None:
    peers = ["cellvision_train", "script"]
    printed, content = run(
        tmp_path / "content.json", "--only", "training", "--peers", ",".join(peers)
    )
    (result,) = content["results"]["training"]
    rows = {row["label"]: row for row in result["rows"]}
    for label in ("cellvision, precision auto", "cellvision, float32", "the page's script"):
        assert rows[label]["values"][0] > 0, rows[label]["note"]
    assert rows["PyTorch by hand, best of three"]["note"] == "not selected"
    assert len(rows) == 6
    assert [len(ratio["values"]) for ratio in result["ratios"]] == [1, 1, 0]
    assert "cellvision, float32 : the page's script" in printed


@pytest.mark.exhaustive
def test_files_are_read_in_turns(tmp_path: Path) -> None:
    peers = "cellvision_read,pillow_read"
    _, content = run(tmp_path / "content.json", "--only", "reading", "--peers", peers)
    (result,) = content["results"]["reading"]
    rows = {row["label"]: row for row in result["rows"]}
    for kind in ("PNG", "JPEG", "8-bit TIFF", "16-bit TIFF"):
        for epoch in ("first", "second"):
            assert rows[f"{kind}, {epoch} epoch: cellvision"]["values"][0] > 0
    assert "TIFF, first epoch: Pillow, one thread" not in " ".join(rows)


@pytest.mark.exhaustive
def test_answers_compare_tools_on_one_split(tmp_path: Path) -> None:
    tiny.make_folder(tmp_path / "data" / "flowers_128px", count=20)
    words = ["--data", str(tmp_path / "data"), "--peers", "cellvision_answer,keras_tutorial"]
    _, content = run(tmp_path / "content.json", "--only", "answers", *words)
    (result,) = content["results"]["answers"]
    rows = {row["label"]: row for row in result["rows"]}
    for label in ("cellvision, recipe standard", "cellvision, scattering", "Keras tutorial"):
        (accuracy,) = rows[label]["values"]
        assert 0 <= accuracy <= 1
        assert rows[label]["note"].startswith(f"mean {accuracy:.3f} (")
    assert rows["AutoGluon"]["note"] == "not selected"
    assert "Standard − Keras tutorial:" in result["about"]
    assert "8 test images, groups unknown" in result["about"]


def test_answers_need_images(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "answers", "--data", str(tmp_path)]
    done = subprocess.run(
        [*command, "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: --data must name a folder")


def test_an_unknown_measure_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no measure speed" in done.stderr


def test_what_an_image_costs_is_counted_from_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import cellvision as cv
    from benchmarks.machine import cost

    model = cv.architectures.create("deep").build((256, 256, 3), 2)
    predict, train = cost(model)
    # By hand: the first convolution, 256×256 places of 3×3×3 by 16, is 0.0566 GFLOP.
    assert train == pytest.approx(3 * predict - 2 * 256 * 256 * 27 * 16 / 1e9)
    assert predict == pytest.approx(0.174, abs=0.001)
