"""What ``cellvision study`` and ``cellvision train`` print of scores, verdicts and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

import cellvision as cv
from cellvision.cli import main
from cellvision.data.prepared import prepare_data

SOLVED = "solved exactly; epochs, batch size and optimizer have no effect."


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    with tiny.on_offer():
        yield


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    """Run a command; return its lines on standard output, without spaces around them."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    return [line.strip() for line in lines]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """An experiment with two wells of a class in the test set: p is 0.17 at least."""
    images = tiny.make_folder(tmp_path / "images", count=12, wells=4)
    (images / "notes.txt").touch()
    experiment = tiny.experiment(
        images, "level", group="well", epochs=2, split={"validation": 0, "test": 0.5}
    )
    return cv.save_experiment(experiment, tmp_path / "experiment.json")


def test_a_study_of_several_runs(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    lines = printed(capsys, "study", settings, "--runs", 2, "--out", out, "--control", "intensity")
    assert [line for line in lines if "notes.txt" in line] == [
        "Warning: 1 file was skipped: 'notes.txt' (not an image: .txt)."
    ]
    study = cv.load_study(out)
    (verdict,), (ensemble,) = study.verdicts, study.ensembles
    score = ensemble.scores["test"]
    assert max(map(len, lines[: lines.index("Classes of test, mean of 2 runs:")])) <= 80
    of_runs, of_mean = (line.split() for line in lines if line.startswith("test "))
    images = [str(score.n), f"({score.groups})"]
    assert of_runs[:4] == ["test", *images, "2"]
    assert "to" in of_runs
    interval = [f"{score.accuracy_low:.3f}", "to", f"{score.accuracy_high:.3f}"]
    assert of_mean == [
        *("test", *images, f"{score.accuracy:.3f}", *interval, f"{score.balanced_accuracy:.3f}")
    ]
    # Every sentence once, and what each control showed.
    said = lines[lines.index(f"Verdict: {verdict.sentence}") :]
    assert len(set(said)) == len(said)
    assert verdict.reasons == ("No p below 0.17 is possible with 4 groups.",)
    assert {*verdict.reasons, *verdict.warnings, verdict.controls[0].sentence} <= set(said)
    assert said[1].startswith(f"Accuracy of {score.n} images ")


def test_one_run_has_no_spread(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    lines = printed(
        *(capsys, "study", settings, "--runs", 1, "--out", out),
        *("--vary", "training.epochs=[1,2]"),
    )
    study = cv.load_study(out)
    table = lines[: lines.index("Classes of epochs=1, test:")]
    assert not {"SD", "range", "runs", "to"} & set(" ".join(table).split())
    rows = [line.split() for line in table if line.startswith("test ")]
    assert rows == [
        ["test", "12", "(4)", f"{score.accuracy:.3f}", f"{score.balanced_accuracy:.3f}"]
        for score in (run.scores["test"] for run in study.runs)
    ]
    assert f"test {study.runs[0].scores['test'].accuracy:.3f} (n=12)>" in repr(study.runs[0])
    assert "n = 12" in repr(study.verdicts[0])


def test_a_solved_network_says_that_its_settings_have_no_effect(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tmp_path / "trained"
    assert not any(SOLVED in line for line in printed(capsys, "train", settings, "--out", trained))
    assert not cv.load_run(trained).metadata.solved
    folder = tmp_path / "solved"
    words = ["train", settings, "--set", "architecture=scattering", "--out", folder]
    lines = printed(capsys, *words)
    assert lines.count(SOLVED.capitalize()) == 1
    run = cv.load_run(folder)
    assert run.metadata.solved
    record = json.loads((folder / "run.json").read_text())
    del record["solved"]  # as in an older record
    (folder / "run.json").write_text(json.dumps(record))
    assert not cv.load_run(folder).metadata.solved


def test_groups_of_several_labels_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tiny.make_folder(tmp_path / "images", count=12, wells=4)
    table = (images / "groups.csv").read_text()
    mixed = table.replace(",light", ",light_").replace(",light_3", ",dark3")
    (images / "groups.csv").write_text(mixed)
    experiment = tiny.experiment(
        images, "level", group="well", split={"validation": 0, "test": 0.5}, reporters=None
    )
    settings = cv.save_experiment(experiment, tmp_path / "experiment.json")
    for seed in range(20):  # until the well of both classes is tested
        split = experiment.split.model_copy(update={"seed": seed})
        prepared = prepare_data(experiment.model_copy(update={"split": split}))
        tested = prepared.catalog.table.query("split == 'test'")["group"]
        if "dark3" in set(tested):
            break
    out = tmp_path / "study"
    words = ("--runs", 1, "--out", out, "--set", f"split.seed={seed}")
    lines = printed(capsys, "study", settings, *words)
    (verdict,) = cv.load_study(out).verdicts
    assert verdict.groups == (verdict.groups_scored or 0) + 1
    said = "without 1 group of several labels or a tie"
    assert sum(said in line for line in lines) == 1
    assert said in (out / "reports" / "report.html").read_text(encoding="utf-8")
