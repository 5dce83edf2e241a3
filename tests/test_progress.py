"""What is seen on a terminal while one waits."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tiny

from cellvision.progress import Display, LineDisplay, displayed


def on_a_terminal(*arguments: str) -> str:
    """What `cellvision` writes to standard error where that is a terminal."""
    pty = pytest.importorskip("pty", reason="only Unix has terminals that a program can make")
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


class Cell:
    """The output of a notebook's cell, as IPython shows and replaces it."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []

    def display(self, content: dict[str, str], **options: Any) -> Cell:
        assert options == {"raw": True, "display_id": True}
        self.outputs.append(content)
        return self

    def update(self, content: dict[str, str], **options: Any) -> None:
        assert options == {"raw": True}
        self.outputs.append(content)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """Pretend that this process runs the cells of a notebook."""
    shown = Cell()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    display.display = shown.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("cellvision.progress_notebook._NOTEBOOK_SECONDS", 0)
    return shown


def test_a_notebook_shows_a_bar_with_the_time_left_and_the_last_epoch(
    cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"loss": 0.5, "accuracy": 0.75, "val_accuracy": 0.5}
    with displayed(None) as display:
        display.decoded(3, 10)
        display.epoch(1, 4, 100)
        display.remaining(250)
        display.step(60)
        display.epoch_done(row, 100.0, 0.0)
        display.epoch(2, 4, 100)
        display.step(100)
    assert cell.outputs[0]["text/plain"] == "reading images 3/10"
    html = [output["text/html"] for output in cell.outputs]
    assert 'value="60" max="100"' in html[2]
    assert "epoch 1/4  4 minutes left" in html[2]
    assert "epoch 2/4" in html[-2]
    assert "validation 0.500" in html[-2]
    assert cell.outputs[-1]["text/plain"].startswith("epoch 1/4  loss 0.500")
    assert not [text for text in html if "color" in text]
    assert capsys.readouterr() == ("", "")


def test_a_notebook_shows_nothing_if_it_is_told_to(cell: Cell) -> None:
    with displayed(False) as display:
        display.decoded(3, 10)
    assert type(display) is Display
    assert cell.outputs == []


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = ModuleType("IPython")
    ipython.get_ipython = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    with displayed(None) as display:
        assert type(display) is Display


def test_a_study_estimates_the_time_of_its_remaining_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 100.0, 300.0])
    monkeypatch.setattr("cellvision.progress_displays.time.monotonic", lambda: next(times))
    display = LineDisplay()
    for number in (1, 2, 3):
        display.run(number, 10, number)
    assert capsys.readouterr().err.splitlines() == [
        "1 of 10 runs done, the others take about 15 minutes",
        "2 of 10 runs done, the others take about 20 minutes",
    ]


def test_the_first_training_of_a_study_says_how_long_all_runs_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = LineDisplay()
    display.run(1, 12, 0)
    display.expected(250)
    display.remaining(240)
    display.run(2, 12, 1)
    display.expected(250)
    assert capsys.readouterr().err.splitlines() == [
        "run 1/12 (seed 0)  training takes about 4 minutes on this machine, "
        "12 such runs 50 minutes",
    ]


def test_computing_features_estimates_the_time_of_all_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cellvision.training.earlier_speeds import TrainingSpeed
    from cellvision.training.feature_progress import FeatureProgress

    remaining: list[float] = []
    shown: Any = SimpleNamespace(task=lambda *_: None, remaining=remaining.append)
    now = iter([10.0, 10.5, 12.0])
    monkeypatch.setattr("cellvision.training.feature_progress.time.perf_counter", lambda: next(now))
    speeds: Any = SimpleNamespace(expected=lambda: TrainingSpeed(0.25, 0.0))
    progress = FeatureProgress(shown, (100, 400), speeds).of(0)
    progress(0, 100)
    assert remaining == [0.25 * (100 + 400)]
    remaining.clear()
    progress(20, 100)  # compiled
    progress(30, 100)  # too soon
    assert remaining == []
    progress(60, 100)  # 40 in 2 seconds
    assert remaining == [pytest.approx((40 + 400) / 20)]
