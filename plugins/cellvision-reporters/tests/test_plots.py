"""``run.plot`` and ``study.plot`` in a notebook, and runs and studies as HTML."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from figure_checks import assert_nothing_is_clipped, texts
from written_results import ODD_NAMES, write_run, write_study

import cellvision as cv
from cellvision import errors

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path: Path) -> cv.Run:
    return write_run(tmp_path / "run", ODD_NAMES, ("train", "validation", "first", "second"), n=12)


@pytest.fixture
def study(tmp_path: Path) -> cv.Study:
    return write_study(tmp_path / "study", {"deep": {}, "resnet": {"wrong": 2}}, runs=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["confusion", "panel", "curves", "mistakes"])
def test_figures_of_a_run(run: cv.Run, name: str) -> None:
    figure = getattr(run.plot, name)()
    assert_nothing_is_clipped(figure)
    assert figure._repr_png_().startswith(PNG)
    assert not (run.folder / "reports").exists()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["confusion", "panel", "curves", "mistakes"])
def test_a_reporter_writes_the_same_figure(
    run: cv.Run, name: str, out: Path, drawn: list[Any]
) -> None:
    cv.reporters.create(name).run(run, out)
    figure = getattr(run.plot, name)()
    figure.draw_without_rendering()  # makes the labels of ticks
    assert texts(drawn[0]) == texts(figure)


@pytest.mark.slow
def test_a_split_is_chosen_by_name(run: cv.Run) -> None:
    assert any("second" in text for text in texts(run.plot.confusion("second")))
    assert any("first" in text for text in texts(run.plot.confusion()))
    with pytest.raises(errors.ExperimentError, match="no split 'third'"):
        run.plot.panel("third")


@pytest.mark.slow
def test_a_figure_of_any_reporter_with_settings(run: cv.Run) -> None:
    (axes,) = run.plot("panel", images=4).axes
    assert len(axes.images) == 4
    with pytest.raises(errors.ExperimentError) as caught:
        run.plot.panel(image=4)
    assert "Did you mean 'images'?" in str(caught.value)
    with pytest.raises(errors.UnknownPlugin, match="no reporter is called 'panell'"):
        run.plot("panell")


@pytest.mark.exhaustive
def test_what_cannot_be_drawn_says_so(run: cv.Run, study: cv.Study, tmp_path: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="Boxplot draws no single figure of this run"):
        run.plot("boxplot")
    with pytest.raises(errors.ExperimentError, match="Tables draws no single figure"):
        run.plot("tables")
    with pytest.raises(errors.ExperimentError, match="Curves draws no single figure of this study"):
        study.plot("curves")
    perfect = write_run(tmp_path / "perfect", wrong=0)
    with pytest.raises(errors.ExperimentError, match="has nothing to draw"):
        perfect.plot.mistakes()


@pytest.mark.exhaustive
def test_figures_of_a_study(study: cv.Study) -> None:
    figure = study.plot.box()
    assert_nothing_is_clipped(figure)
    assert {"deep", "resnet"} <= {line for text in texts(figure) for line in text.split("\n")}
    assert study.plot("confusion", split="test")._repr_png_().startswith(PNG)


@pytest.mark.slow
def test_plots_are_named_for_completion(run: cv.Run, study: cv.Study) -> None:
    shown = {name for name in dir(run.plot) if not name.startswith("_")}
    assert shown == {"confusion", "curves", "mistakes", "panel"}
    assert "confusion, curves, mistakes, panel" in repr(run.plot)
    assert {name for name in dir(study.plot) if not name.startswith("_")} == {"box"}


@pytest.mark.slow
def test_without_the_reporters_the_hint_says_what_to_install(
    run: cv.Run, isolated_registries: object
) -> None:
    with pytest.raises(errors.UnknownPlugin) as caught:
        run.plot.confusion()
    assert "pip install 'cellvision[standard]'" in caught.value.hint


@pytest.mark.slow
def test_a_notebook_shows_a_figure_once(run: cv.Run) -> None:
    code = (
        "import sys, cellvision as cv\n"
        f"figure = cv.load_run({str(run.folder)!r}).plot.confusion()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "import matplotlib; matplotlib.use('agg')\n"
        "from matplotlib import pyplot\n"
        "assert pyplot.get_fignums() == []\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_a_run_and_a_study_as_html(run: cv.Run, study: cv.Study) -> None:
    for shown, words in (
        (run, ("balanced accuracy", "second", "<b>bold</b> & co", "Mind <this>.")),
        (study, ("mean accuracy", "resnet", "SD over runs", "mean balanced", "Verdict")),
        (study.verdicts[0], ("Balanced accuracy", "Controls not run")),
    ):
        html = shown._repr_html_()  # type: ignore[attr-defined]
        text = " ".join(ElementTree.fromstring(html).itertext())
        assert all(word in text for word in words), text
        assert not re.search(r"[^-]color:", html)
    many: tuple[object, ...] = (run, study, study.verdicts[0], study.experiments[0], run.metadata)
    assert [shown for shown in many if len(repr(shown)) > 400] == []
