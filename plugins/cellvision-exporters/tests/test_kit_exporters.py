"""Every exporter passes the conformance kit."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.testing import ExporterChecks
from cellvision.testing.examples import example_plugins, example_run

BIOIMAGEIO = importlib.util.find_spec("bioimageio") is not None


@pytest.mark.slow
@pytest.mark.skipif(not BIOIMAGEIO, reason="bioimageio.spec is not installed")
class TestBioImageIo(ExporterChecks):
    name = "bioimageio"


class TestModelCard(ExporterChecks):
    name = "model_card"


class TestOnnx(ExporterChecks):
    name = "onnx"


@pytest.mark.exhaustive
class TestOpenVino(ExporterChecks):
    name = "openvino"


class TestLiteRt(ExporterChecks):
    name = "litert"


class TestSavedModel(ExporterChecks):
    name = "saved_model"


def test_every_exporter_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, ExporterChecks)
    }
    installed = {
        info.name for info in cv.exporters.plugins() if info.distribution == "cellvision-exporters"
    }
    assert installed
    assert installed <= checked


def test_a_card_states_classes_scores_and_what_is_unknown(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", "odd names")
    exporter = cv.exporters.create("model_card", intended_use="To *sort* plates.", contact="lab")
    text = cv.export(run, exporter, tmp_path / "card.md").read_text(encoding="utf-8")
    for name in ("G0/G1 phase", "\u7d30\u80de \\| \\<b\\>"):
        assert f"| {name} | 4 | 2 | 2 | 2 |" in text
    assert "To \\*sort\\* plates." in text
    assert "Contact: lab" in text
    for score in run.scores.values():
        assert f"{score.accuracy_low:.3f} to {score.accuracy_high:.3f}" in text
    assert "No simpler explanation" in text
    plain = cv.export(run, "model_card", tmp_path / "plain.md").read_text(encoding="utf-8")
    assert "Not stated by the people who trained it." in plain


def test_a_card_of_a_solved_network_states_no_epochs(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run")
    solved = "- Solved exactly; epochs, batch size and optimizer have no effect."
    text = cv.export(run, "model_card", tmp_path / "trained.md").read_text(encoding="utf-8")
    assert "- Epochs: " in text
    assert solved not in text
    metadata = run.metadata.model_copy(update={"solved": True})
    (run.folder / "run.json").write_text(metadata.to_json(), encoding="utf-8")
    run = cv.load_run(run.folder)
    text = cv.export(run, "model_card", tmp_path / "solved.md").read_text(encoding="utf-8")
    assert solved in text
    assert "- Epochs: " not in text


def test_a_card_of_another_run_is_refused(tmp_path: Path) -> None:
    exporter = cv.exporters.create("model_card")
    other = example_run(tmp_path / "other", "single epoch")
    folder = tmp_path / "card"
    folder.mkdir()
    exporter.export(other, folder)
    with pytest.raises(errors.ConversionError, match="does not state"):
        exporter.verify(example_run(tmp_path / "run", "odd names"), folder)


@pytest.mark.slow
@pytest.mark.skipif(not BIOIMAGEIO, reason="bioimageio.spec is not installed")
def test_a_bioimageio_package_states_its_classes(tmp_path: Path) -> None:
    from bioimageio.spec import load_model_description

    run = example_run(tmp_path / "run", "odd names")
    exporter = cv.exporters.create("bioimageio", authors=["A. Person"], license="MIT")
    with example_plugins():
        path = cv.export(run, exporter, tmp_path / "cells.zip")
    model = load_model_description(path)
    assert [author.name for author in model.authors] == ["A. Person"]
    assert model.license == "MIT"
    assert model.config.model_dump()["cellvision"]["class_names"] == list(run.class_names)
    names = model.outputs[0].axes[1].channel_names
    assert [str(name) for name in names] == ["class_0", "g0_g1_phase", "class_2", "class_3"]
    with zipfile.ZipFile(path) as archive:
        assert "# Model card" in archive.read("README.md").decode()
