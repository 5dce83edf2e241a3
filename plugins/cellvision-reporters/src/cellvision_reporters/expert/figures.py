"""Figures of the comparison of network and expert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellvision_reporters.expert.comparison import CANNOT_TELL, ComparedImages
from cellvision_reporters.expert.record import ExpertComparison
from cellvision_reporters.expert.text import format_count
from cellvision_reporters.figures import colours
from cellvision_reporters.figures.axes import style_axes
from cellvision_reporters.figures.display import display_range
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_width
from cellvision_reporters.figures.grid import ImageGrid
from cellvision_reporters.figures.phrasing import format_percent, plural

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

_ROW = 0.66
_FONT, _SMALL = 10.0, 9.0
_SIDE = 2.3
_MOST_MATRICES = 6
_FEW = 12
"""Matrices with more classes than this are left out."""


def draw_comparisons(
    results: Run | Study, comparisons: Sequence[ExpertComparison], note: str
) -> CaptionedFigure:
    """Draw accuracies side by side, their difference, and a matrix of answers.

    Parameters
    ----------
    results
        The run or study.
    comparisons
        One row each.
    note
        Last sentence of the caption.
    """
    labels = [_label(each) for each in comparisons]
    label_width = min(max(text_width(text, _FONT) for pair in labels for text in pair), 2.6)
    height = _ROW * len(comparisons)
    matrices = [each for each in comparisons[:_MOST_MATRICES] if len(each.class_names) <= _FEW]
    widths = [text_width(name, _SMALL) for each in matrices for name in each.class_names]
    name_width = min(max(widths, default=0.0), 1.3)
    depth = 0.2 if all(map(_is_horizontal, matrices)) else name_width
    width = label_width + 8.3
    columns = max(int((width - 0.2) // (_SIDE + name_width + 0.6)), 1)
    block = _SIDE + depth + 0.75
    total = 1.15 + height + block * -(-len(matrices) // columns)
    figure = CaptionedFigure(
        results,
        width,
        total,
        "Network and expert on the same images",
        [
            "Left: accuracy with its 95 % interval. Right: accuracy of the network minus that of "
            "the expert; if the interval contains zero, the data cannot tell who is better.",
            _about_counts(matrices),
            note,
        ],
    )
    left = label_width + 0.35
    accuracy_axes = figure.add_axes(left, 0.3, 3.1, height)
    _draw_accuracies(accuracy_axes, comparisons, labels, label_width)
    _draw_differences(figure.add_axes(left + 3.35, 0.3, 2.6, height), comparisons)
    for index, each in enumerate(matrices):
        row, column = divmod(index, columns)
        axes = figure.add_axes(
            name_width + 0.55 + column * (_SIDE + name_width + 0.6),
            0.3 + height + 1.1 + row * block,
            _SIDE,
            _SIDE,
        )
        _draw_matrix(axes, each, name_width, _difference(each, comparisons))
    return figure


def _label(comparison: ExpertComparison) -> tuple[str, str]:
    parts = _parts(comparison)
    return ", ".join(part for part in parts if part), f"n = {comparison.n} images"


def _about_counts(comparisons: Sequence[ExpertComparison]) -> str:
    """Explain counts that are no whole numbers; empty if all are."""
    counts = [count for each in comparisons for row in each.agreement for count in row]
    fractions = any(float(count) != int(count) for count in counts)
    return "Below: images by both answers, mean over runs." if fractions else ""


def _parts(comparison: ExpertComparison) -> tuple[str, ...]:
    return (comparison.experiment or "", comparison.split, comparison.rater)


def _difference(comparison: ExpertComparison, others: Sequence[ExpertComparison]) -> str:
    """Return what tells a comparison from the others: there is little room above a matrix."""
    columns = zip(*map(_parts, others), strict=True)
    differs = [len(set(column)) > 1 for column in columns]
    parts = zip(_parts(comparison), differs, strict=True)
    return ", ".join(part for part, distinct in parts if distinct and part)


def _draw_accuracies(
    axes: Any,
    comparisons: Sequence[ExpertComparison],
    labels: Sequence[tuple[str, str]],
    label_width: float,
) -> None:
    for row, each in enumerate(comparisons):
        axes.vlines(
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
            axes.errorbar(
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
    texts = [f"{fit_text(name, label_width, _FONT)}\n{size}" for name, size in labels]
    axes.set_yticks(range(len(comparisons)), texts, fontsize=_FONT)
    axes.set_xlim(-0.02, 1.02)
    _style(axes, len(comparisons), "Accuracy")
    height = float(axes.get_position().height * axes.figure.get_figheight())
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.45 / height),
        ncols=3,
        frameon=False,
        fontsize=_FONT,
        borderaxespad=0,
    )


def _draw_differences(axes: Any, comparisons: Sequence[ExpertComparison]) -> None:
    axes.axvline(0, color=colours.BLACK, linewidth=1)
    limit = 0.05
    for row, each in enumerate(comparisons):
        difference = each.difference
        undecided = each.verdict == CANNOT_TELL
        errors = [
            [difference.estimate - difference.low],
            [difference.high - difference.estimate],
        ]
        axes.errorbar(
            difference.estimate,
            row,
            xerr=errors,
            color=colours.GREY if undecided else colours.BLACK,
            marker="s",
            markerfacecolor="white" if undecided else colours.BLACK,
            markersize=6.5,
            capsize=3,
            linewidth=1.8,
        )
        axes.annotate(
            each.verdict,
            (1, row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=_FONT,
            weight="normal" if undecided else "bold",
            annotation_clip=False,
        )
        limit = max(limit, abs(difference.low), abs(difference.high))
    axes.set_xlim(-1.08 * limit, 1.08 * limit)
    axes.set_yticks([])
    _style(axes, len(comparisons), "Difference: network − expert")


def _style(axes: Any, rows: int, label: str) -> None:
    axes.set_ylim(rows - 0.45, -0.55)
    axes.set_xlabel(label, fontsize=_FONT)
    axes.xaxis.set_label_position("top")
    style_axes(axes, grid="x", hidden_spines=("top", "right", "left"))
    axes.tick_params(axis="y", length=0)


def _is_horizontal(comparison: ExpertComparison) -> bool:
    """Return whether class names fit side by side below a matrix."""
    room = 0.92 * _SIDE / len(comparison.class_names)
    return all(text_width(name, _SMALL) < room for name in comparison.class_names)


def _draw_matrix(axes: Any, comparison: ExpertComparison, name_width: float, name: str) -> None:
    import numpy as np

    counts = np.asarray(comparison.agreement)
    axes.imshow(counts / max(counts.max(), 1), cmap="Greys", vmin=0, vmax=1.4)
    size = 11 if len(counts) <= 5 else 8
    for (row, column), count in np.ndenumerate(counts):
        dark = count > 0.6 * counts.max()
        style = {"ha": "center", "va": "center", "fontsize": size}
        weight = "bold" if row == column else "normal"
        colour = "white" if dark else colours.BLACK
        axes.text(column, row, format_count(count), color=colour, weight=weight, **style)
    names = [fit_text(name, name_width + 0.02, _SMALL) for name in comparison.class_names]
    rotation = 0 if _is_horizontal(comparison) else 90
    axes.set_xticks(range(len(names)), names, rotation=rotation, fontsize=_SMALL)
    axes.set_yticks(range(len(names)), names, fontsize=_SMALL)
    axes.tick_params(length=0)
    axes.set_xlabel(f"Answer of {fit_text(comparison.rater, 1.4, _FONT)}", fontsize=_FONT)
    axes.set_ylabel("Answer of the network", fontsize=_FONT)
    agreed = f"{format_percent(comparison.agreed)} the same"
    title = f"{name}: {agreed}" if name else agreed
    title = fit_text(title, _SIDE + name_width, _FONT)
    axes.set_title(title, fontsize=_FONT, loc="left", pad=5)


def draw_disagreements(
    results: Run | Study, run: Run, compared: ComparedImages, rows: pd.DataFrame
) -> CaptionedFigure:
    """Draw the images that the two disagree on most, as the network sees them.

    Parameters
    ----------
    results
        The run or study.
    run
        The run that reads the images.
    compared
        The comparison.
    rows
        The images to draw.
    """
    import numpy as np

    images = np.asarray(run.network_input(list(rows["image"])))
    scale = display_range(run, images)
    answers = rows.to_dict("records")
    rater, n = compared.record.rater, compared.record.n
    above = [
        f"network: {row['predicted']} {format_percent(float(row['p_' + str(row['predicted'])]))}"
        for row in answers
    ]
    below = [f"{rater}: {row['answer']}, true:\N{NO-BREAK SPACE}{row['label']}" for row in answers]
    grid = ImageGrid(above, below, images.shape[1] / images.shape[2])
    total = len(compared.record.disagreements)
    figure = grid.figure(
        results,
        f"{_label(compared.record)[0]}: where network and expert disagree most",
        [
            f"{len(rows)} of {plural(total, 'image')} (of {n}) that the two assign to different "
            "classes, those first for which the network is surest. Green with a tick: the network "
            "is right; red with a cross: the expert is right; dashed grey: neither.",
            scale.describe(),
        ],
    )
    for index, row in enumerate(answers):
        mark, colour, line = _winner_style(row)
        grid.draw(figure, index, scale.to_rgb(images[index]), colour, line).mark(mark, colour)
    return figure


def _winner_style(row: Mapping[Any, Any]) -> tuple[str, str, Any]:
    """Return mark, colour and line style for who is right."""
    if row["predicted"] == row["label"]:
        return "✓", colours.RIGHT, "-"
    if row["answer"] == row["label"]:
        return "✗", colours.WRONG, "-"
    return "–", colours.GREY, (0, (3, 1.5))
