"""Reporter ``training_size``: accuracy against the number of training groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact
from cellvision_reporters.figures.axes import style_axes
from cellvision_reporters.figures.colours import BLUE, GREY
from cellvision_reporters.figures.figure import CaptionedFigure
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.reporter import Composed, FigureReporter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study
    from cellvision.results.verdicts import LearningCurveRecord

_EXPLANATION = (
    "Points: measured, mean over runs; line: a - b n^-c; band: 95 % from a bootstrap over test "
    "groups, widened 1.3 times; dashed beyond what was measured. It says nothing about other "
    "plates, and no number of groups for a target: so flat a curve cannot be inverted."
)


class TrainingSize(FigureReporter):
    """Accuracy against the number of training groups, of a study with ``--sizes``."""

    enabled_by_default: ClassVar[bool] = True

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Draw a curve for each test set; nothing without several sizes."""
        curves = study.learning_curves
        files = file_names("training_size", [curve.split for curve in curves], self.suffix)
        artifacts = []
        for curve in curves:
            figure, caption = _compose(study, curve)
            path = figure.save(folder / files[curve.split], self.dpi)
            title = f"Accuracy by number of training groups: {curve.split}"
            artifacts.append(Artifact(path, title, "figure", caption, order=60))
        return artifacts

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw the curve of a study's first test set."""
        from cellvision import Study

        if not isinstance(results, Study):
            return super().figure(results)
        curves = results.learning_curves
        return self.finished(_compose(results, curves[0]) if curves else None, results)


def _compose(study: Study, curve: LearningCurveRecord) -> Composed:
    caption = " ".join([*curve.sentences, *([] if curve.reason else [_EXPLANATION])])
    title = f"{curve.split}: accuracy by number of training groups"
    figure = CaptionedFigure(study, 6.8, 3.9, title, [caption])
    axes: Any = figure.canvas.subplots()
    if curve.groups:
        _draw_fit(axes, curve)
    style = {"marker": "o", "linestyle": "none", "markersize": 7, "color": BLUE}
    axes.plot(curve.measured_groups, curve.measured_accuracy, **style, label="measured", zorder=4)
    chance = study.experiments[0].chance
    axes.axhline(chance, color=GREY, linestyle=":", linewidth=1.8, label="chance")
    ticks = sorted({*curve.measured_groups, *(round(n) for n in curve.groups)})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(min(0.95 * chance, *curve.measured_accuracy) - 0.02, 1.02)
    axes.set_xlabel("Training groups", fontsize=10.5)
    axes.set_ylabel("Accuracy", fontsize=10.5)
    axes.legend(fontsize=9.5, frameon=False, loc="lower right")
    style_axes(axes, 10)
    return Composed(figure, caption)


def _draw_fit(axes: Any, curve: LearningCurveRecord) -> None:
    import numpy as np

    assert curve.a is not None and curve.b is not None and curve.c is not None  # noqa: PT018
    order = np.argsort(curve.groups)
    groups = np.asarray(curve.groups)[order]
    low, high = np.asarray(curve.low)[order], np.asarray(curve.high)[order]
    axes.fill_between(groups, low, high, color=BLUE, alpha=0.15, linewidth=0)
    most = max(curve.measured_groups)
    for start, end, line in ((groups[0], most, "-"), (most, groups[-1], "--")):
        n = np.geomspace(start, max(end, start), 60)
        axes.plot(n, curve.a - curve.b * n**-curve.c, color=BLUE, linestyle=line, linewidth=1.8)
