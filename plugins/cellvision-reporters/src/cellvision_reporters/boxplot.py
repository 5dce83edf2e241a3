"""Reporter ``boxplot``: test accuracy of every run of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact
from cellvision_reporters.expert.record import expert_accuracies
from cellvision_reporters.figures.axes import style_axes
from cellvision_reporters.figures.colours import BLACK, BLUE, GREY, SKY, VERMILION
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_width
from cellvision_reporters.figures.phrasing import format_range, plural
from cellvision_reporters.figures.reporter import Composed, FigureReporter

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study
    from cellvision.results.study import StudyExperiment

_FONT = 10.0
_ROW, _ABOVE, _BELOW = 0.62, 0.36, 0.38
_WIDTH = 3.6
"""Width of the axes in inches: a phone shows nearly all of it without scrolling."""

_FEWEST = 3
"""Fewest runs for which a box is drawn."""

_CAPTION = (
    "Every point is one run (one seed). Box: quartiles; bar: median; whiskers: the whole range. "
    "This is the variation of training on the same test images. It does not include the "
    "uncertainty from the choice of test images: see the sampling interval in the summary."
)


class Boxplot(FigureReporter):
    """Box and points of test accuracy over the runs of a study, one row per experiment.

    Every run is a point. Chance is marked in each row, and a human expert's accuracy across the
    rows if the reporter ``expert`` has compared it or the study was given a number.
    """

    enabled_by_default: ClassVar[bool] = True

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Draw the box plot; nothing if there is no test set."""
        composed = _compose(study)
        if composed is None:
            return []
        path = composed.figure.save(folder / f"boxplot{self.suffix}", self.dpi)
        caption = composed.caption
        return [Artifact(path, "Test accuracy over runs", "figure", caption, order=50)]

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw the box plot of a study."""
        from cellvision import Study

        if not isinstance(results, Study):
            return super().figure(results)
        return self.finished(_compose(results), results)


def _compose(study: Study) -> Composed | None:
    """Compose the figure; None if there is no test set."""
    rows = _rows_by_split(study)
    if not rows:
        return None
    labels = [
        line
        for split, experiments in rows.items()
        for each in experiments
        for line in (each.name, _size(each, split))
    ]
    label_width = min(max(text_width(line, _FONT) for line in labels), 3.2)
    heights = [_ROW * len(experiments) for experiments in rows.values()]
    figure = CaptionedFigure(
        study,
        label_width + _WIDTH + 0.5,
        sum(heights) + (_ABOVE + _BELOW) * len(rows) + 0.6,
        "Test accuracy over runs",
        [_CAPTION],
    )
    experts = expert_accuracies(study)
    lowest = _lowest(rows, experts)
    top = _ABOVE
    for (split, experiments), height in zip(rows.items(), heights, strict=True):
        axes = figure.add_axes(label_width + 0.3, top, _WIDTH, height)
        _draw_rows(axes, experiments, split, label_width)
        for accuracy in experts.get(split, ()):
            axes.axvline(accuracy, color=VERMILION, linestyle="-.", linewidth=2, zorder=1)
        axes.set_xlim(lowest, 1.015)
        axes.set_title(fit_text(split, _WIDTH, 11.0), fontsize=11, loc="left", pad=6)
        top += height + _ABOVE + _BELOW
    axes.set_xlabel("Accuracy", fontsize=10.5)
    _draw_legend(axes, expert=any(split in experts for split in rows))
    return Composed(figure, _CAPTION)


def _rows_by_split(study: Study) -> dict[str, list[StudyExperiment]]:
    """Return the experiments that were evaluated on each test set."""
    splits = dict.fromkeys(split for each in study.experiments for split in each.test_splits)
    return {split: [each for each in study.experiments if each.scores(split)] for split in splits}


def _size(experiment: StudyExperiment, split: str) -> str:
    scores = experiment.scores(split)
    n = format_range(score.n for score in scores)
    return f"{plural(len(scores), 'run')}, n = {n} images"


def _lowest(
    rows: Mapping[str, Sequence[StudyExperiment]], experts: Mapping[str, Sequence[float]]
) -> float:
    """Return the left end of the axes."""
    values = [
        value
        for split, experiments in rows.items()
        for each in experiments
        for value in (each.chance, *(score.accuracy for score in each.scores(split)))
    ]
    values += [accuracy for split in rows for accuracy in experts.get(split, ())]
    return max(min(values) - 0.06, -0.015)


def _draw_rows(
    axes: Any, experiments: Sequence[StudyExperiment], split: str, label_width: float
) -> None:
    import numpy as np

    labels = []
    for row, each in enumerate(experiments):
        values = np.array([score.accuracy for score in each.scores(split)])
        if len(values) >= _FEWEST:
            _draw_box(axes, row, values)
        jitter = np.random.default_rng(row).uniform(-0.16, 0.16, len(values))
        axes.plot(
            values,
            row + jitter,
            marker="o",
            linestyle="none",
            markersize=6,
            color=BLUE,
            markeredgecolor="white",
            markeredgewidth=0.7,
            zorder=4,
        )
        axes.vlines(each.chance, row - 0.42, row + 0.42, color=GREY, linestyle=":", linewidth=2.2)
        labels.append(f"{fit_text(each.name, label_width, _FONT)}\n{_size(each, split)}")
    axes.set_yticks(range(len(labels)), labels, fontsize=_FONT)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    style_axes(axes, _FONT, grid="x", hidden_spines=("top", "right", "left"))
    axes.tick_params(axis="y", length=0)


def _draw_box(axes: Any, row: int, values: np.ndarray) -> None:
    import numpy as np

    low, first, middle, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    for start, end in ((low, first), (third, high)):
        axes.hlines(row, start, end, color=BLACK, linewidth=1.2, zorder=2)
    for end in (low, high):
        axes.vlines(end, row - 0.14, row + 0.14, color=BLACK, linewidth=1.2, zorder=2)
    style = {"facecolor": SKY, "edgecolor": BLACK, "alpha": 0.55, "linewidth": 1.2}
    axes.barh(row, third - first, left=first, height=0.5, zorder=2, **style)
    axes.vlines(middle, row - 0.25, row + 0.25, color=BLACK, linewidth=2.4, zorder=3)


def _draw_legend(axes: Any, *, expert: bool) -> None:
    from matplotlib.lines import Line2D

    styles: list[dict[str, Any]] = [
        {"label": "one run", "marker": "o", "linestyle": "none", "markersize": 6, "color": BLUE},
        {"label": "chance", "color": GREY, "linestyle": ":", "linewidth": 2.2},
    ]
    if expert:
        style = {"color": VERMILION, "linestyle": "-.", "linewidth": 2}
        styles.append({"label": "human expert", **style})
    # Below the label of the axis, in inches, whatever the height of the axes.
    height = axes.get_position().height * axes.figure.get_figheight()
    axes.legend(
        handles=[Line2D([], [], **style) for style in styles],
        loc="upper right",
        bbox_to_anchor=(1.0, -0.5 / height),
        ncols=3,
        frameon=False,
        fontsize=_FONT,
        borderaxespad=0,
    )
