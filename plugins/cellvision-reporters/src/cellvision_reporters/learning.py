"""How fast each experiment of a study learns, and whether validation follows training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision_reporters.expert.summary import expert_lines
from cellvision_reporters.figures.colours import BLUE, GREY, ORANGE, VERMILION
from cellvision_reporters.figures.experiment_runs import Arm, arms_of
from cellvision_reporters.figures.figure import Sheet, fitted
from cellvision_reporters.figures.settings import Picture
from cellvision_reporters.figures.ticks import ticks

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Study

_WIDTH, _HEIGHT = 3.5, 2.7


class Learning(Picture):
    """Training and validation accuracy per epoch, for each experiment of a study.

    Every run's points (shifted sideways a little, so that they do not hide each other), the
    mean over runs as a line, and the 95 % interval of that mean over seeds as a band. A human
    expert's accuracy on the test images, where one is known, is a line across.
    """

    enabled_by_default: ClassVar[bool] = True

    def files(self, study: Study) -> dict[str, str]:
        """The file name."""
        return {} if study.history.empty else {"": f"learning{self.suffix}"}

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Draw the curves; nothing where no epoch was trained."""
        arms = [arm for arm in arms_of(study) if not _history(study, arm).empty]
        if not arms:
            return []
        columns = min(len(arms), 3 if len(arms) != 4 else 2)
        rows = -(-len(arms) // columns)
        left, above, below = 0.62, 0.34, 0.62
        sheet = Sheet(
            study,
            max(columns * (_WIDTH + left) + 0.2, 6.6),
            rows * (_HEIGHT + above + below) + 0.34,
            "Learning over epochs",
            [
                "Points: every run; line: mean over runs; band: 95 % interval of that mean "
                "over seeds (Student's t); a single run has none."
            ],
        )
        people = sorted({value for values in expert_lines(study).values() for value in values})
        for place, arm in enumerate(arms):
            row, column = divmod(place, columns)
            axis = sheet.axes(
                left + column * (_WIDTH + left),
                above + row * (_HEIGHT + above + below),
                _WIDTH,
                _HEIGHT,
            )
            _draw(axis, arm, _history(study, arm))
            for accuracy in people:
                axis.axhline(accuracy, color=VERMILION, linestyle="-.", linewidth=1.6, zorder=1)
        _legend(sheet, axis, expert=bool(people))
        return [sheet.save(folder / self.files(study)[""], self.dpi)]


def _history(study: Study, arm: Arm) -> pd.DataFrame:
    return study.history[study.history["experiment"] == arm.name]


def _draw(axis: Any, arm: Arm, history: pd.DataFrame) -> None:
    for number, (column, colour, marker, line) in enumerate(
        (("accuracy", BLUE, "o", "-"), ("val_accuracy", ORANGE, "s", "--"))
    ):
        known = history.dropna(subset=[column]) if column in history else history.head(0)
        if known.empty:
            continue
        _points(axis, known, column, colour, marker, -0.13 if number == 0 else 0.13)
        _mean(axis, known, column, colour, line)
    axis.axhline(arm.chance, color=GREY, linestyle=":", linewidth=1.8)
    first, last = int(history["epoch"].min()), int(history["epoch"].max())
    axis.set_xlim(first - 0.5, last + 0.5)
    axis.set_xticks(ticks(first, last))
    axis.set_ylim(-0.02, 1.02)
    axis.set_title(
        fitted(f"{arm.name} ({len(arm.runs)} run{'s' if len(arm.runs) > 1 else ''})", 3.4, 10.5),
        fontsize=10.5,
        loc="left",
    )
    axis.set_xlabel("Epoch", fontsize=10)
    axis.set_ylabel("Accuracy", fontsize=10)
    axis.tick_params(labelsize=9.5)
    axis.grid(color="#E9E9E9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _points(
    axis: Any, known: pd.DataFrame, column: str, colour: str, marker: str, shift: float
) -> None:
    import numpy as np

    several = known["epoch"].duplicated().any()
    jitter = shift + np.random.default_rng(0).uniform(-0.1, 0.1, len(known)) if several else 0
    axis.plot(
        known["epoch"] + jitter,
        known[column],
        marker=marker,
        linestyle="none",
        markersize=3.2,
        color=colour,
        alpha=0.55,
        markeredgewidth=0,
    )


def _mean(axis: Any, known: pd.DataFrame, column: str, colour: str, line: str) -> None:
    import numpy as np

    from cellvision import statistics

    epochs, means, lows, highs = [], [], [], []
    for epoch, values in known.groupby("epoch")[column]:
        spread = statistics.seed_spread(np.clip(values.to_numpy(float), 0, 1))
        epochs.append(epoch)
        means.append(spread.mean)
        lows.append(spread.low if spread.runs > 1 else np.nan)
        highs.append(spread.high if spread.runs > 1 else np.nan)
    axis.fill_between(epochs, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axis.plot(epochs, means, color=colour, linestyle=line, linewidth=2)


def _legend(sheet: Sheet, axis: Any, *, expert: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=4, linewidth=2, label="training"),
        Line2D(
            [],
            [],
            color=ORANGE,
            marker="s",
            markersize=4,
            linewidth=2,
            linestyle="--",
            label="validation",
        ),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1.8, label="chance"),
    ]
    if expert:
        style: dict[str, Any] = {"color": VERMILION, "linestyle": "-.", "linewidth": 1.6}
        handles.append(Line2D([], [], label="human expert, test images", **style))
    bottom = axis.get_position().y0 - 0.52 / sheet.figure.get_figheight()
    sheet.figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, bottom),
        ncols=len(handles),
        frameon=False,
        fontsize=10,
        borderaxespad=0,
    )
