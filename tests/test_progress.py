"""What is seen on a terminal while one waits."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from cellvision.progress import LineDisplay

pty = pytest.importorskip("pty", reason="only Unix has terminals that a program can make")


def on_a_terminal(*arguments: str) -> str:
    """What `cellvision` writes to standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", "from cellvision.cli import main; main()", *arguments],
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ) as process:
        os.close(theirs)
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux' way of telling that the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(ours)
    assert process.returncode == 0, shown.decode(errors="replace")[-2000:]
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


TELLER = """
import cellvision as cv


class Teller(cv.Reporter):
    def on_epoch_end(self, epoch, logs):
        print(f"heard of epoch {epoch}: {logs['loss']:.3f}")
"""


@pytest.mark.exhaustive
def test_what_a_reporter_prints_appears_while_bars_are_shown(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=10)
    (tmp_path / "teller.py").write_text(TELLER)
    shown = on_a_terminal(
        *("train", str(images), "--out", str(tmp_path / "run"), "--recipe", "page"),
        *("--plugin", str(tmp_path / "teller.py"), "--set", "reporters=teller"),
        *("--set", "preprocessing.size=16", "--set", "architecture=perceptron"),
        *("--set", "training.epochs=2"),
    )
    assert re.search(r"^heard of epoch 1: \d\.\d+\s*$", shown, re.MULTILINE)
    assert re.search(r"^heard of epoch 2: \d\.\d+\s*$", shown, re.MULTILINE)


@pytest.mark.exhaustive
def test_bars_of_a_training_and_its_reports(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=30)
    shown = on_a_terminal(
        *("train", str(images), "--out", str(tmp_path / "run")),
        *("--set", "preprocessing.size=[16,16]", "--set", "architecture=fmnist_deep"),
        *("--set", "training.epochs=2"),
    )
    assert "epoch 2/2" in shown
    assert re.search(r"loss \d\.\d+  accuracy \d\.\d+ .*images/s  waiting for data \d+%", shown)
    assert re.search(r"report: (panel|curves|html)", shown)
    assert not re.search(r"report: .*images/s", shown)


def test_runs_of_a_fold_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    display = LineDisplay()
    row = {"loss": 0.5, "accuracy": 0.75, "val_accuracy": math.nan}
    for fold, control in ((2, None), (2, "texture"), (None, None)):
        display.fold(fold, 5)
        display.run(3, 10, 0, control)
        display.epoch(1, 4, 8)
        display.epoch_done(row, 100.0, 0.0)
    display.fold(4, 5)
    display.together([0, 1, 2])
    display.epoch(1, 4, 8)
    display.epochs_done([row, row, row], 100.0)
    prefixes = [line.partition("  epoch")[0] for line in capsys.readouterr().err.splitlines()]
    assert prefixes == [
        "run 3/10 (fold 2/5, seed 0)",
        "run 3/10 (fold 2/5, texture, seed 0)",
        "run 3/10 (seed 0)",
        "3 runs together (fold 4/5, seeds 0 to 2)",
    ]
