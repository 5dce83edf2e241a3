"""What a notebook shows: short plain reprs, and escaped HTML without colours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import InMemory, noise, write, write_folder

import cellvision as cv
from cellvision import errors, notebook_html, statistics
from cellvision.results.metadata import Environment
from cellvision.results.scores import Score, Scores

ODD = "<script>alert(1)</script>"
LONGEST = 300


def check_html(html: str, *texts: str) -> None:
    """Well-formed, escaped, readable in a light and a dark theme."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(html.replace("&nbsp;", " "))
    assert not root.findall(".//script")
    styles = " ".join(element.get("style", "") for element in root.iter())
    assert not re.search(r"(?<![-\w])color\s*:", styles)
    assert not re.search(r"background(-color)?\s*:\s*(?!none)", styles)
    shown = " ".join(root.itertext())
    for text in texts:
        assert text in shown


def score(accuracy: float = 0.9) -> Score:
    labels = np.arange(20) % 2
    probabilities = np.eye(2)[np.where(np.arange(20) < 20 * accuracy, labels, 1 - labels)]
    return Score.from_predictions(labels, probabilities, None, 0.3)


def test_a_document_escapes_every_text() -> None:
    html = notebook_html.document(
        ODD,
        notebook_html.facts([(ODD, ODD), ("nothing", None)]),
        notebook_html.table([ODD], [[ODD]], ODD),
        notebook_html.notes(ODD, [ODD]),
    )
    check_html(html, ODD)
    assert "<script" not in html
    assert "nothing" not in html


def test_long_tables_lists_and_texts_are_cut() -> None:
    html = notebook_html.document(
        "x",
        notebook_html.table(["n"], [[n] for n in range(50)]),
        notebook_html.notes("y", (str(n) for n in range(25))),
        notebook_html.facts([("long", "a" * 5000)]),
    )
    check_html(html, "and 30 more", "and 5 more", "…")
    assert "<td" in html
    assert len(html) < 10_000


def test_without_rows_nothing_is_shown() -> None:
    assert notebook_html.notes("Warnings", []) == ""
    assert notebook_html.table(["a"], []) == ""


def test_an_audit_of_many_images(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 250, "b": 250})
    (tmp_path / "a" / f"{'notes' * 20}.txt").write_text("x")
    report = cv.audit(cv.datasets.create("folder", path=tmp_path))
    assert len(repr(report)) < LONGEST
    html = report._repr_html_()
    check_html(html, "all images", "validation", "Groups (field, well", "not an image: .txt")
    assert len(html) < 20_000


def test_an_audit_with_odd_names(tmp_path: Path) -> None:
    for n in range(12):
        write(tmp_path / "<b>&amp;" / f"{n}.png", noise(n))
        write(tmp_path / "other" / f"{n}.png", noise(100 + n))
    report = cv.audit(cv.datasets.create("folder", path=tmp_path))
    check_html(report._repr_html_(), "<b>&amp;")


def test_a_catalog() -> None:
    table = {"image": list("abcdefg"), "label": [ODD, "y"] * 3 + ["y"], "well": list("1122334")}
    catalog = cv.Catalog.of(InMemory.of(table, group="well"))
    check_html(catalog._repr_html_(), ODD, "well", "First images", "unknown")
    assert "batch" not in re.findall(r"<th[^>]*>([^<]*)</th>", catalog._repr_html_())
    assert len(repr(catalog)) < LONGEST


def test_an_experiment(tmp_path: Path) -> None:
    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=tmp_path / "<i>", group="well"),
        augmenters=[cv.augmenters.create("rotation", degrees=7)],
        training=cv.Training(epochs=7, seed=3),
    )
    assert repr(experiment) == f"<Experiment: Deep on {tmp_path / '<i>'}, 7 epochs, seed 3>"
    check_html(
        experiment._repr_html_(),
        "Training(epochs=7, seed=3)",
        "Rotation(degrees=7",
        "group='well'",
        "Preprocessing()",
        "all enabled by default",
    )


@pytest.mark.parametrize("registry", [cv.architectures, cv.reporters, cv.datasets])
def test_a_registry(registry: Any) -> None:
    assert len(repr(registry)) < LONGEST
    check_html(registry._repr_html_(), *list(registry.names())[:5])


def test_scores() -> None:
    scores = Scores(train=score(1.0), test=score(0.9))
    assert scores["test"].accuracy == pytest.approx(0.9)
    assert len(repr(scores["test"])) < LONGEST
    assert "accuracy 0.900" in repr(scores["test"])
    check_html(scores._repr_html_(), "train", "test", "0.900", "1.000")
    check_html(scores["test"]._repr_html_(), "0.900")
    columns = re.findall(r'scope="col"[^>]*>([^<]*)<', scores._repr_html_())
    assert columns == ["split", "images", "accuracy", "95 % interval", "balanced accuracy", "loss"]


def test_a_verdict() -> None:
    labels = np.arange(40) % 2
    groups = np.arange(40) // 2
    predictions = np.where(np.arange(40) % 10 == 9, 1 - labels, labels)
    verdict = statistics.verdict(labels, predictions, groups, training=1.0)
    assert len(repr(verdict)) < LONGEST
    assert repr(verdict).startswith("<Verdict: ")
    check_html(verdict._repr_html_(), verdict.sentence, *verdict.reasons[:1], "Balanced accuracy")


def test_a_record_has_a_short_repr() -> None:
    environment = Environment(
        cellvision="0.1.0", python="3.12", keras="3", backend="x" * 900, precision="float32"
    )
    assert len(repr(environment)) <= LONGEST
    assert repr(environment).startswith("Environment(cellvision='0.1.0'")


def test_a_slip_shows_a_few_lines_of_traceback() -> None:
    namespace = {"__name__": "__main__", "cv": cv}
    try:
        exec(compile("cv.Training(epoch=5)", "<cell>", "exec"), namespace)
    except errors.CellvisionError as error:
        shown = [line for part in error._render_traceback_() for line in part.splitlines()]
    assert shown[-2:] == [
        "ExperimentError: Training: there is no setting 'epoch'",
        "Did you mean 'epochs'?",
    ]
    assert "Cell, line 1: " in shown
    assert len(shown) <= 5
    assert not any("pydantic" in line or "component.py" in line for line in shown)


def test_the_cause_of_an_error_is_one_line() -> None:
    try:
        try:
            raise TypeError("no\nsuch thing")
        except TypeError as fault:
            raise errors.BrokenPlugin("it cannot be imported", "Update it.") from fault
    except errors.BrokenPlugin as error:
        shown = error._render_traceback_()
    assert shown[-2] == "BrokenPlugin: it cannot be imported\nUpdate it."
    assert shown[-1].startswith("Caused by TypeError: no (")
    assert "test_notebook.py, line" in shown[-1]


def test_nothing_of_this_imports_keras(tmp_path: Path) -> None:
    script = f"""
import sys
import cellvision as cv
experiment = cv.Experiment(dataset=cv.datasets.create("folder", path={str(tmp_path)!r}))
for shown in (experiment, cv.architectures, cv.reporters, cv.augmenters):
    repr(shown), shown._repr_html_()
assert "keras" not in sys.modules and "tensorflow" not in sys.modules
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.exhaustive
def test_native_libraries_and_tensorflow_print_nothing(tmp_path: Path) -> None:
    """Several runs in one process, each of which reads its saved model back."""
    script = f"""
import cellvision as cv
experiment = cv.Experiment(
    dataset=cv.datasets.create("synthetic_cells", path={str(tmp_path / "cells")!r}, fields=8,
                               field_size=64, tiles=4),
    preprocessing=cv.Preprocessing(size=(32, 32), channels=(0, 1)),
    architecture=cv.architectures.create("scattering"),
    reporters=(),
)
cv.train(experiment, {str(tmp_path / "run")!r})
cv.study(experiment, 3, {str(tmp_path / "study")!r}, controls=["permuted_groups", "intensity"])
"""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
