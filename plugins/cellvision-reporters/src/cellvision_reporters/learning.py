"""Reporter ``learning``: training and validation accuracy of a study, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, statistics
from cellvision_reporters.expert.record import expert_accuracies
from cellvision_reporters.figures.axes import epoch_ticks, style_axes
from cellvision_reporters.figures.colours import BLUE, GREY, ORANGE, VERMILION
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text
from cellvision_reporters.figures.phrasing import format_training_images, plural
from cellvision_reporters.figures.reporter import FigureReporter

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Study
    from cellvision.results.study import StudyExperiment

_WIDTH, _HEIGHT = 3.5, 2.7
_LEFT, _ABOVE, _BELOW = 0.62, 0.34, 0.62


class Learning(FigureReporter):
    """Training and validation accuracy per epoch, for each experiment of a study.

    Points show every run, shifted sideways a little so that they do not hide each other; the
    line is the mean over runs, and the band the 95 % interval of that mean over seeds. There is no
    band if a run did not train, because such runs do not follow Student's t.
    """

    enabled_by_default: ClassVar[bool] = True

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Draw the curves; nothing for a study without epochs."""
        histories = [(each, each.history()) for each in study.experiments if each.runs]
        trained = [(each, history) for each, history in histories if not history.empty]
        if not trained:
            return []
        columns = min(len(trained), 3 if len(trained) != 4 else 2)
        rows = -(-len(trained) // columns)
        images = format_training_images(run for each, _ in trained for run in each.networks)
        points = f"Points: every run, {images}." if images else "Points: every run."
        caption = (
            f"{points} Line: mean over runs. Band: 95 % interval of that mean over seeds "
            "(Student's t), unless there is a single run or a run did not train."
        )
        figure = CaptionedFigure(
            study,
            max(columns * (_WIDTH + _LEFT) + 0.2, 6.6),
            rows * (_HEIGHT + _ABOVE + _BELOW) + 0.34,
            "Learning over epochs",
            [caption],
        )
        experts = sorted({value for row in expert_accuracies(study).values() for value in row})
        for index, (experiment, history) in enumerate(trained):
            row, column = divmod(index, columns)
            left = _LEFT + column * (_WIDTH + _LEFT)
            top = _ABOVE + row * (_HEIGHT + _ABOVE + _BELOW)
            axes = figure.add_axes(left, top, _WIDTH, _HEIGHT)
            _draw(axes, experiment, history)
            for accuracy in experts:
                axes.axhline(accuracy, color=VERMILION, linestyle="-.", linewidth=1.6, zorder=1)
        _draw_legend(figure, axes, expert=bool(experts))
        path = figure.save(folder / f"learning{self.suffix}", self.dpi)
        return [Artifact(path, "Learning over epochs", "figure", caption, order=200)]


def _draw(axes: Any, experiment: StudyExperiment, history: pd.DataFrame) -> None:
    for column, colour, marker, line, shift in (
        ("accuracy", BLUE, "o", "-", -0.13),
        ("val_accuracy", ORANGE, "s", "--", 0.13),
    ):
        known = history.dropna(subset=[column]) if column in history else history.head(0)
        if not known.empty:
            _draw_points(axes, known, column, colour, marker, shift)
            _draw_mean(axes, known, column, colour, line, band=not any(experiment.untrained))
    axes.axhline(experiment.chance, color=GREY, linestyle=":", linewidth=1.8)
    first, last = int(history["epoch"].min()), int(history["epoch"].max())
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.set_xticks(epoch_ticks(first, last))
    axes.set_ylim(-0.02, 1.02)
    title = fit_text(f"{experiment.name} ({plural(len(experiment.runs), 'run')})", 3.4, 10.5)
    axes.set_title(title, fontsize=10.5, loc="left")
    axes.set_xlabel("Epoch", fontsize=10)
    axes.set_ylabel("Accuracy", fontsize=10)
    style_axes(axes)


def _draw_points(
    axes: Any, history: pd.DataFrame, column: str, colour: str, marker: str, shift: float
) -> None:
    import numpy as np

    several = history["epoch"].duplicated().any()
    jitter = shift + np.random.default_rng(0).uniform(-0.1, 0.1, len(history)) if several else 0
    axes.plot(
        history["epoch"] + jitter,
        history[column],
        marker=marker,
        linestyle="none",
        markersize=3.2,
        color=colour,
        alpha=0.55,
        markeredgewidth=0,
    )


def _draw_mean(
    axes: Any, history: pd.DataFrame, column: str, colour: str, line: str, *, band: bool
) -> None:
    import numpy as np

    epochs, means, lows, highs = [], [], [], []
    for epoch, values in history.groupby("epoch")[column]:
        spread = statistics.seed_spread(np.clip(values.to_numpy(float), 0, 1))
        epochs.append(epoch)
        means.append(spread.mean)
        lows.append(spread.low if spread.runs > 1 else np.nan)
        highs.append(spread.high if spread.runs > 1 else np.nan)
    if band:
        axes.fill_between(epochs, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, means, color=colour, linestyle=line, linewidth=2)


def _draw_legend(figure: CaptionedFigure, axes: Any, *, expert: bool) -> None:
    from matplotlib.lines import Line2D

    styles: list[dict[str, Any]] = [
        {"color": BLUE, "marker": "o", "markersize": 4, "linewidth": 2, "label": "training"},
        {
            "color": ORANGE,
            "marker": "s",
            "markersize": 4,
            "linewidth": 2,
            "linestyle": "--",
            "label": "validation",
        },
        {"color": GREY, "linestyle": ":", "linewidth": 1.8, "label": "chance"},
    ]
    if expert:
        style = {"color": VERMILION, "linestyle": "-.", "linewidth": 1.6}
        styles.append({**style, "label": "human expert, test images"})
    bottom = axes.get_position().y0 - 0.52 / figure.canvas.get_figheight()
    figure.canvas.legend(
        handles=[Line2D([], [], **style) for style in styles],
        loc="upper center",
        bbox_to_anchor=(0.5, bottom),
        ncols=len(styles),
        frameon=False,
        fontsize=10,
        borderaxespad=0,
    )
