"""Names of splits that mean something to libraries, through a whole training and its reports."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny
from command_line import command

import cellvision as cv

pytestmark = pytest.mark.usefixtures("tiny_plugins")

SPLITS = {"train": 10, "validation": 4, "[/red]": 4, "_x": 4}


def make_table(root: Path) -> Path:
    rows = [("file", "label", "split")]
    for number, (split, count) in enumerate(SPLITS.items()):
        for label, level in tiny.BRIGHTNESS.items():
            for k in range(count):
                file = f"{label}_{number}_{k}.png"
                tiny.write(
                    root / file, tiny.pixels(level, 100 * number + 50 * (label == "dark") + k)
                )
                rows.append((file, label, split))
    with (root / "images.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return root / "images.csv"


@pytest.mark.slow
def test_names_of_splits_survive_training_and_all_default_reporters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = {
        "dataset": {"type": "table", "path": str(make_table(tmp_path))},
        "architecture": {"type": "level"},
        "preprocessing": {"size": [64, 64], "channels": "gray"},
        "training": {"epochs": 1, "batch_size": 10, "precision": "float32"},
    }
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    out = tmp_path / "run"
    assert command("train", tmp_path / "experiment.json", "--out", out) == 0
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    text = " ".join(printed.out.split())
    for split in ("[/red]", "_x"):
        assert f"{split} 8 " in text
        assert f"class of {split}: 0.500" in text

    trained = cv.load_run(out)
    assert trained.test_splits == ("[/red]", "_x")
    (legend,) = [axes.get_legend() for axes in trained.plot.curves().axes if axes.get_legend()]
    labels = [text.get_text().strip("\N{ZERO WIDTH SPACE}") for text in legend.get_texts()]
    assert labels == ["training", "validation", "chance (0.5)", "[/red]", "_x"]
    page = (out / "reports" / "report.html").read_text(encoding="utf-8")
    reports = json.loads((out / "reports" / "artifacts.json").read_text(encoding="utf-8"))
    for split in ("[/red]", "_x"):
        assert split in page
        assert any(split in json.dumps(entry) for entry in reports["reporters"])
    # The images have 32 × 32 pixels: run.json, the terminal and the page say what happens to them.
    sentence = "44 images are enlarged for the network"
    assert any(sentence in warning for warning in trained.warnings)
    assert sentence in text
    assert sentence in page

    # Another person's run.json may ask for any reporter: it runs, but not without a word.
    assert command("report", out) == 0
    assert "asks for" not in capsys.readouterr().err
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    record["experiment"]["reporters"] = [{"type": "tables"}, {"type": "listener"}]
    (out / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert command("report", out) == 0
    assert "run asks for the reporters listener\n" in capsys.readouterr().err
