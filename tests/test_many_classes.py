"""Three hundred classes, fifteen of them with hostile names, through every reporter in minutes."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from images import noise, write

import cellvision as cv
from cellvision.progress import Display
from cellvision.results.reporting import make_reports

CLASSES = 300
MINUTES = 6
HOSTILE = (
    *("<script>alert(1)</script>", "a,b;c\t'd\"", "=HYPERLINK(1)", "line\r\nbreak", "\u2028para"),
    *("$\\frac{1}{0}$", "../../etc/passwd", "[/red]", "_hidden", "核分裂", "x" * 250),
    *("\x1b[31mred", "%s {0} {{x}}", "nan", "](javascript:alert(1))"),
)
NAMES = (*HOSTILE, *(f"class {number}" for number in range(CLASSES - len(HOSTILE))))


def data(root: Path) -> cv.Dataset:
    """Four noise images of each class: two to train on, one to validate, one to test."""
    rows: list[tuple[str, str, str, str]] = []
    splits = ("train", "train", "validation", "test")
    for number, name in enumerate(NAMES):
        for copy, split in enumerate(splits):
            file = f"{number}_{copy}.png"
            write(root / file, noise(4 * number + copy, (12, 12)))
            rows.append((file, name, split, f"well {number}_{copy}"))
    with (root / "images.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("file", "label", "split", "well"), *rows])
    return cv.datasets.create("table", path=root / "images.csv", group="well")


def answers(run: cv.Run, path: Path) -> Path:
    """Write the answers of an expert who is right every second time."""
    rows = run.predictions
    rows = rows[rows["split"] == "test"]
    label = rows["label"].to_numpy()
    answer = np.where(np.arange(len(rows)) % 2, label, np.roll(label, 1))
    table = rows[["image", "split", "label"]].assign(rater="ann", answer=answer, repeat=1)
    table.to_csv(path, index=False)
    return path


def all_reporters(run: cv.Run, answered: Path) -> list[cv.Reporter]:
    """Return every installed reporter, with the settings that it needs."""
    settings = {"expert": {"answers": answered}, "suspicious_labels": {"folds": 2}}
    return [
        cv.reporters.create(name, **settings.get(name, {}))
        for name in cv.reporters.names()
        if cv.reporters.info(name).status == "ok" and name != "mlflow"
    ]


@pytest.mark.exhaustive
def test_every_reporter(tmp_path: Path) -> None:
    experiment = cv.Experiment(
        dataset=data(tmp_path),
        preprocessing=cv.Preprocessing(size=(12, 12), channels="gray"),
        architecture=cv.architectures.create("perceptron"),
        training=cv.Training(epochs=1),
        reporters=(),
    )
    start = time.process_time()
    audit = cv.audit(experiment, out=tmp_path / "audit", progress=False)
    run = cv.train(experiment, tmp_path / "run", progress=False)
    assert set(run.class_names) == set(audit.class_names)
    assert len(run.class_names) == CLASSES

    answered = answers(run, tmp_path / "answers.csv")
    seconds: dict[str, float] = {}
    written: list[cv.Artifact] = []
    for reporter in all_reporters(run, answered):
        before = time.process_time()
        artifacts, faults = make_reports(run, [reporter], Display())
        seconds[type(reporter).__name__] = round(time.process_time() - before, 1)
        assert not faults, (type(reporter).__name__, [fault.what for fault in faults])
        written += artifacts
    print(seconds)
    assert time.process_time() - start < 60 * MINUTES, seconds

    reopened = cv.load_run(tmp_path / "run")
    assert set(reopened.predictions["label"]) == set(run.class_names)
    page = (tmp_path / "run" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert 'href="javascript:' not in page
    for artifact in written:
        assert artifact.path.resolve().is_relative_to(tmp_path / "run" / "reports")
