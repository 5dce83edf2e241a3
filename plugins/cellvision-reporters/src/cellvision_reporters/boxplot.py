"""Test accuracy of every run of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision_reporters.expert.summary import expert_lines
from cellvision_reporters.figures.colours import BLACK, BLUE, GREY, SKY, VERMILION
from cellvision_reporters.figures.experiment_runs import Arm, arms_of, span
from cellvision_reporters.figures.figure import Sheet, fitted, width_of
from cellvision_reporters.figures.settings import Picture

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Study

_FONT = 10.0
_ROW = 0.62
_ENOUGH = 3
"""A box is drawn from so many runs on."""


class Boxplot(Picture):
    """Box and points of test accuracy over the runs of a study, a row for each experiment.

    Every run is a point; chance is marked in each row and a human expert's accuracy across the
    rows, where the reporter `expert` has answers or the study was given a number.
    """

    enabled_by_default: ClassVar[bool] = True

    def files(self, study: Study) -> dict[str, str]:
        """The file name."""
        return {"": f"boxplot{self.suffix}"} if _splits(arms_of(study)) else {}

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Draw the box plot; nothing where there is no test set."""
        arms = arms_of(study)
        splits = _splits(arms)
        if not splits:
            return []
        shown = {split: [arm for arm in arms if not arm.scores(split).empty] for split in splits}
        labels = [
            line
            for split in splits
            for arm in shown[split]
            for line in (arm.name, _size(arm, split))
        ]
        label = min(max(width_of(line, _FONT) for line in labels), 3.2)
        heights = [_ROW * len(shown[split]) for split in splits]
        above, below = 0.36, 0.38
        sheet = Sheet(
            study,
            label + 0.3 + 6.2,
            sum(heights) + (above + below) * len(splits) + 0.6,
            "Test accuracy over runs",
            [
                "Every point is one run (one seed). Box: quartiles; bar: median; whiskers: the "
                "whole range. This is the spread of training on the same test images; what other "
                "test images would change is not in it: see the sampling interval in the summary."
            ],
        )
        expert = expert_lines(study)
        low = _lowest(shown, expert)
        top = above
        for split, height in zip(splits, heights, strict=True):
            axis = sheet.axes(label + 0.3, top, 6.0, height)
            _rows(axis, shown[split], split, label)
            for accuracy in expert.get(split, ()):
                axis.axvline(accuracy, color=VERMILION, linestyle="-.", linewidth=2, zorder=1)
            axis.set_xlim(low, 1.015)
            axis.set_title(fitted(split, 6.0, 11.0), fontsize=11, loc="left", pad=6)
            top += height + above + below
        axis.set_xlabel("Accuracy", fontsize=10.5)
        _legend(axis, any(split in expert for split in splits))
        return [sheet.save(folder / self.files(study)[""], self.dpi)]


def _splits(arms: Sequence[Arm]) -> list[str]:
    return list(dict.fromkeys(split for arm in arms for split in arm.test_splits))


def _size(arm: Arm, split: str) -> str:
    rows = arm.scores(split)
    return f"{len(rows)} run{'s' if len(rows) != 1 else ''}, n = {span(rows['n'])} images"


def _lowest(shown: dict[str, list[Arm]], expert: dict[str, tuple[float, ...]]) -> float:
    values = [
        value
        for split, arms in shown.items()
        for arm in arms
        for value in (arm.chance, float(arm.scores(split)["accuracy"].min()))
    ]
    people = [accuracy for split in shown for accuracy in expert.get(split, ())]
    return max(min([*values, *people]) - 0.06, -0.015)


def _rows(axis: Any, arms: Sequence[Arm], split: str, label: float) -> None:
    import numpy as np

    names = []
    for row, arm in enumerate(arms):
        values = arm.scores(split)["accuracy"].to_numpy(float)
        if len(values) >= _ENOUGH:
            _box(axis, row, values)
        jitter = np.random.default_rng(row).uniform(-0.16, 0.16, len(values))
        axis.plot(
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
        axis.vlines(arm.chance, row - 0.42, row + 0.42, color=GREY, linestyle=":", linewidth=2.2)
        names.append(f"{fitted(arm.name, label, _FONT)}\n{_size(arm, split)}")
    axis.set_yticks(range(len(arms)), names, fontsize=_FONT)
    axis.set_ylim(len(arms) - 0.45, -0.55)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=_FONT)
    axis.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _box(axis: Any, row: int, values: np.ndarray) -> None:
    import numpy as np

    low, first, middle, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    for start, end in ((low, first), (third, high)):
        axis.hlines(row, start, end, color=BLACK, linewidth=1.2, zorder=2)
    for end in (low, high):
        axis.vlines(end, row - 0.14, row + 0.14, color=BLACK, linewidth=1.2, zorder=2)
    style = {"facecolor": SKY, "edgecolor": BLACK, "alpha": 0.55, "linewidth": 1.2}
    axis.barh(row, third - first, left=first, height=0.5, zorder=2, **style)
    axis.vlines(middle, row - 0.25, row + 0.25, color=BLACK, linewidth=2.4, zorder=3)


def _legend(axis: Any, expert: bool) -> None:
    from matplotlib.lines import Line2D

    point: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 6, "color": BLUE}
    handles = [
        Line2D([], [], label="one run", **point),
        Line2D([], [], color=GREY, linestyle=":", linewidth=2.2, label="chance"),
    ]
    if expert:
        style: dict[str, Any] = {"color": VERMILION, "linestyle": "-.", "linewidth": 2}
        handles.append(Line2D([], [], label="human expert", **style))
    # Below the label of the axis, in inches, however high the axes are.
    height = axis.get_position().height * axis.figure.get_figheight()
    axis.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1.0, -0.5 / height),
        ncols=3,
        frameon=False,
        fontsize=_FONT,
        borderaxespad=0,
    )
