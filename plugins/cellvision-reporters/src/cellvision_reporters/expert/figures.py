"""The pictures of network against expert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cellvision_reporters.figures.colours as colours
from cellvision_reporters.expert.comparison import CANNOT_TELL, Comparison
from cellvision_reporters.figures.display import Stretch
from cellvision_reporters.figures.figure import Sheet, fitted, width_of
from cellvision_reporters.figures.grid import FONT, Grid

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

_ROW = 0.66
_FONT, _SMALL = 10.0, 9.0
_SIDE = 2.3
_MOST_MATRICES = 6
_FEW = 12
"""Up to so many classes a matrix has numbers in its cells."""


def draw_duel(about: Run | Study, found: Sequence[Comparison], note: str) -> Sheet:
    """Accuracies beside each other, their difference, and who calls what how."""
    lines = [_lines(each) for each in found]
    label = min(max(width_of(text, _FONT) for pair in lines for text in pair), 2.6)
    height = _ROW * len(found)
    matrices = [each for each in found[:_MOST_MATRICES] if len(each.class_names) <= _FEW]
    names = [width_of(name, _SMALL) for each in matrices for name in each.class_names]
    widest = min(max(names, default=0.0), 1.3)
    depth = 0.2 if all(map(_upright, matrices)) else widest
    width = label + 8.3
    across = max(int((width - 0.2) // (_SIDE + widest + 0.6)), 1)
    block = _SIDE + depth + 0.75
    total = 1.15 + height + block * -(-len(matrices) // across)
    sheet = Sheet(
        about,
        width,
        total,
        "Network against expert, on the same images",
        [
            "Left: accuracy with its 95 % interval. Right: the network's accuracy minus the "
            "expert's; an interval that holds zero means that one cannot tell.",
            note,
        ],
    )
    left = label + 0.35
    accuracy = sheet.axes(left, 0.3, 3.1, height)
    gap = sheet.axes(left + 3.35, 0.3, 2.6, height)
    _accuracies(accuracy, found, lines, label)
    _differences(gap, found)
    for place, each in enumerate(matrices):
        row, column = divmod(place, across)
        axis = sheet.axes(
            widest + 0.55 + column * (_SIDE + widest + 0.6),
            0.3 + height + 1.1 + row * block,
            _SIDE,
            _SIDE,
        )
        _matrix(axis, each, widest, titled=len(found) > 1)
    return sheet


def _lines(comparison: Comparison) -> tuple[str, str]:
    parts = (comparison.experiment, comparison.split, comparison.rater)
    name = ", ".join(part for part in parts if part)
    return name, f"n = {len(comparison.images)} images"


def _accuracies(
    axis: Any, found: Sequence[Comparison], lines: Sequence[tuple[str, str]], label: float
) -> None:
    for row, each in enumerate(found):
        axis.vlines(
            1 / len(each.class_names),
            row - 0.42,
            row + 0.42,
            color=colours.GREY,
            linestyle=":",
            linewidth=2,
            label="chance" if row == 0 else None,
        )
        for shift, interval, colour, marker, name in (
            (-0.14, each.network, colours.BLUE, "o", "network"),
            (0.14, each.expert, colours.VERMILION, "D", "expert"),
        ):
            axis.errorbar(
                interval.estimate,
                row + shift,
                xerr=[[interval.estimate - interval.low], [interval.high - interval.estimate]],
                color=colour,
                marker=marker,
                markersize=6.5,
                capsize=3,
                linewidth=1.8,
                label=name if row == 0 else None,
            )
    axis.set_yticks(
        range(len(found)),
        [f"{fitted(name, label, _FONT)}\n{size}" for name, size in lines],
        fontsize=_FONT,
    )
    axis.set_xlim(-0.02, 1.02)
    _tidy(axis, len(found), "Accuracy")
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.45 / _height_of(axis)),
        ncols=3,
        frameon=False,
        fontsize=_FONT,
        borderaxespad=0,
    )


def _differences(axis: Any, found: Sequence[Comparison]) -> None:
    axis.axvline(0, color=colours.BLACK, linewidth=1)
    reach = 0.05
    for row, each in enumerate(found):
        gap = each.difference
        unsure = each.verdict == CANNOT_TELL
        axis.errorbar(
            gap.estimate,
            row,
            xerr=[[gap.estimate - gap.low], [gap.high - gap.estimate]],
            color=colours.GREY if unsure else colours.BLACK,
            marker="s",
            markerfacecolor="white" if unsure else colours.BLACK,
            markersize=6.5,
            capsize=3,
            linewidth=1.8,
        )
        axis.annotate(
            each.verdict,
            (1, row),
            xycoords=axis.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=_FONT,
            weight="normal" if unsure else "bold",
            annotation_clip=False,
        )
        reach = max(reach, abs(gap.low), abs(gap.high))
    axis.set_xlim(-1.08 * reach, 1.08 * reach)
    axis.set_yticks([])
    _tidy(axis, len(found), "Difference: network − expert")


def _tidy(axis: Any, rows: int, what: str) -> None:
    axis.set_ylim(rows - 0.45, -0.55)
    axis.set_xlabel(what, fontsize=_FONT)
    axis.xaxis.set_label_position("top")
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=9.5)
    axis.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _height_of(axis: Any) -> float:
    return float(axis.get_position().height * axis.figure.get_figheight())


def _upright(comparison: Comparison) -> bool:
    """Whether the names of the classes have room side by side below a matrix."""
    room = 0.92 * _SIDE / len(comparison.class_names)
    return all(width_of(name, _SMALL) < room for name in comparison.class_names)


def _matrix(axis: Any, comparison: Comparison, names: float, *, titled: bool) -> None:
    import numpy as np

    counts = np.asarray(comparison.agreement)
    axis.imshow(counts / max(counts.max(), 1), cmap="Greys", vmin=0, vmax=1.4)
    size = 11 if len(counts) <= 5 else 8
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            text = f"{count:.0f}" if float(count).is_integer() else f"{count:.1f}"
            dark = count > 0.6 * counts.max()
            axis.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color="white" if dark else colours.BLACK,
                weight="bold" if row == column else "normal",
            )
    shown = [fitted(name, names + 0.02, _SMALL) for name in comparison.class_names]
    turned = 0 if _upright(comparison) else 90
    axis.set_xticks(range(len(shown)), shown, rotation=turned, fontsize=_SMALL)
    axis.set_yticks(range(len(shown)), shown, fontsize=_SMALL)
    axis.tick_params(length=0)
    axis.set_xlabel(f"{fitted(comparison.rater, 1.6, _FONT)} says", fontsize=_FONT)
    axis.set_ylabel("Network says", fontsize=_FONT)
    agreed = f"{100 * comparison.agreed:.0f} % the same"
    title = f"{_lines(comparison)[0]}: {agreed}" if titled else agreed
    axis.set_title(fitted(title, _SIDE + names, _FONT), fontsize=_FONT, loc="left", pad=5)


def draw_images(about: Run | Study, run: Run, comparison: Comparison, rows: pd.DataFrame) -> Sheet:
    """The images at which the two disagree most, as the network sees them."""
    import numpy as np

    images = np.asarray(run.network_input(list(rows["image"])))
    asked = run.metadata.experiment.get("preprocessing", {}).get("channels")
    channels = asked if isinstance(asked, list | tuple) else None
    stretch = Stretch.of(list(images), 1.0, 0.0, channels, colour=channels is None)
    told = rows.to_dict("records")
    above = [
        f"network: {row['predicted']} "
        f"{100 * float(row['p_' + str(row['predicted'])]):.0f}\N{NO-BREAK SPACE}%"
        for row in told
    ]
    below = [
        f"{comparison.rater}: {row['answer']}, true:\N{NO-BREAK SPACE}{row['label']}"
        for row in told
    ]
    differ = int((comparison.images["predicted"] != comparison.images["answer"]).sum())
    grid = Grid(above, below, images.shape[1] / images.shape[2])
    sheet = grid.sheet(
        about,
        f"{_lines(comparison)[0]}: where network and expert disagree most",
        [
            f"{len(rows)} of {differ} images (of {len(comparison.images)}) that the two call "
            "differently; first those where the network is surest against the expert. Green with "
            "a tick: the network is right; red with a cross: the expert is; dashed grey: neither.",
            stretch.words(),
        ],
    )
    for place, row in enumerate(told):
        axes = grid.axes(sheet, place)
        mark, colour, line = _who(row)
        axes.imshow(
            stretch.rgb(images[place]),
            interpolation="nearest" if images.shape[1] < 100 else "antialiased",
        )
        for spine in axes.spines.values():
            spine.set(color=colour, linewidth=2.5, linestyle=line)
        axes.set_title(grid.above[place], fontsize=FONT, color=colour, weight="bold", pad=4)
        axes.set_xlabel(grid.below[place], fontsize=FONT, labelpad=4)
        axes.text(
            0.04,
            0.96,
            mark,
            transform=axes.transAxes,
            va="top",
            fontsize=12,
            weight="bold",
            color="white",
            bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "square,pad=0.15"},
        )
    return sheet


def _who(row: dict[Any, Any]) -> tuple[str, str, Any]:
    """Mark, colour and line for who is right."""
    if row["predicted"] == row["label"]:
        return "✓", colours.RIGHT, "-"
    if row["answer"] == row["label"]:
        return "✗", colours.WRONG, "-"
    return "–", colours.GREY, (0, (3, 1.5))
