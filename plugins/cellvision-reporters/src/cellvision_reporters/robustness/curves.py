"""Curves of accuracy over the strength of changes, an axis for each change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.colours import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)
from cellvision_reporters.figures.figure import Sheet, fitted, height_of
from cellvision_reporters.robustness.perturbations import Scale, in_words

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

_COLUMNS, _WIDTH, _HEIGHT = 3, 2.6, 1.7
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.45, 0.1, 0.3, 0.55
_FONT = 9.5
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK)
_MARKERS = "os^Dv<>"


def draw_runs(run: Run, split: str, table: pd.DataFrame, scale: Scale) -> Sheet:
    """Draw the accuracy of one run on changed images, with 95 % intervals."""
    unchanged = table.iloc[0]
    one, zero = run.metadata.intensity_scale, run.metadata.intensity_zero or 0.0
    counted = ""
    if one is not None:
        counted = f", {0.01 * scale.span * (one - zero):.3g} intensity levels"
    n = int(unchanged["n"])
    of = int((run.predictions["split"] == split).sum())
    some = f"{n} of {of} images, evenly over classes" if n < of else f"all {n} images"
    captions = [
        f"{some[:1].upper()}{some[1:]}; bars: 95 % intervals. Dashed: the accuracy on the same "
        f"images unchanged, {unchanged['accuracy']:.2f} ({unchanged['accuracy_low']:.2f} to "
        f"{unchanged['accuracy_high']:.2f}); dotted: chance. Shares are of the intensity range "
        f"that these images use ({scale.low:.2g} to {scale.high:.2g} of the full one): 1 % is "
        f"{0.01 * scale.span:.2g}{counted}.",
    ]
    title = f"{split}: accuracy on changed images"
    names = list(dict.fromkeys(table["change"][1:]))
    sheet, axes = _small_axes(run, names, title, captions)
    for axis, name in zip(axes, names, strict=True):
        rows = table[table["change"] == name]
        places = range(1, len(rows) + 1)
        low = (rows["accuracy"] - rows["accuracy_low"]).clip(lower=0)
        high = (rows["accuracy_high"] - rows["accuracy"]).clip(lower=0)
        axis.errorbar(
            places,
            rows["accuracy"],
            yerr=[low, high],
            color=BLUE,
            marker="o",
            markersize=5,
            capsize=3,
        )
        _finish(axis, name, rows, 1 / len(run.class_names))
        axis.axhline(unchanged["accuracy"], color=GREY, linestyle="--", linewidth=1.3, zorder=1)
    return sheet


def draw_study(study: Study, split: str, table: pd.DataFrame) -> Sheet:
    """Draw the mean over runs and their range, a line for each experiment."""
    names = [name for name in dict.fromkeys(table["change"]) if name != "unchanged"]
    arms = list(dict.fromkeys(table["experiment"]))
    runs = table.groupby("experiment")["run"].nunique()
    n = int(table["n"].max())
    captions = [
        f"Mean over runs and their range (bars), on the same {n} images in every run, evenly "
        "over classes. None: unchanged. Dotted: chance. The range is that of training; the "
        "95 % intervals of sampling, run by run, are in the table beside it."
    ]
    more = height_of(-(-len(arms) // 2), _FONT) + 0.1
    title = f"{split}: accuracy on changed images"
    sheet, axes = _small_axes(study, names, title, captions, more)
    chance = 1 / len(study.runs[0].class_names)
    for axis, name in zip(axes, names, strict=True):
        for place, arm in enumerate(arms):
            own = table[table["experiment"] == arm]
            curve = own[own["change"].isin(["unchanged", name])]
            by_strength = curve.groupby("strength", sort=False)["accuracy"]
            mean, least, most = by_strength.mean(), by_strength.min(), by_strength.max()
            axis.errorbar(
                range(len(mean)),
                mean,
                yerr=[mean - least, most - mean],
                color=_COLOURS[place % len(_COLOURS)],
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=5,
                capsize=3,
                label=fitted(f"{arm} ({runs[arm]} runs)", 3.6, _FONT),
            )
        first = table[(table["change"] == name) & (table["run"] == table["run"].iloc[0])]
        _finish(axis, name, first, chance)
        ticks = [label.get_text() for label in axis.get_xticklabels()]
        axis.set_xticks(range(len(ticks) + 1), ["none", *ticks], fontsize=_FONT)
        axis.set_xlim(-0.4, len(first) + 0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    sheet.figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(0.98, axes[-1].get_position().y0 - 0.45 / sheet.figure.get_figheight()),
        bbox_transform=sheet.figure.transFigure,
        ncols=2,
        fontsize=_FONT,
        frameon=False,
    )
    return sheet


def _small_axes(
    about: Run | Study, names: Sequence[str], title: str, captions: Sequence[str], more: float = 0
) -> tuple[Sheet, list[Any]]:
    columns = min(_COLUMNS, len(names))
    across, down = _LEFT + _WIDTH + _RIGHT, _ABOVE + _HEIGHT + _BELOW
    rows = -(-len(names) // columns)
    width = max(columns * across + 0.25, 6.0)
    sheet = Sheet(about, width, rows * down + more, title, captions)
    made = [
        sheet.axes(
            0.15 + _LEFT + (place % columns) * across,
            _ABOVE + (place // columns) * down,
            _WIDTH,
            _HEIGHT,
        )
        for place in range(len(names))
    ]
    return sheet, made


def _finish(axis: Any, name: str, rows: pd.DataFrame, chance: float) -> None:
    unit = str(rows["unit"].iloc[0])
    labels = [
        in_words(strength, unit).split("\N{NO-BREAK SPACE}px")[0] for strength in rows["strength"]
    ]
    axis.set_xticks(range(1, len(rows) + 1), labels, fontsize=_FONT)
    axis.set_xlim(0.5, len(rows) + 0.5)
    axis.set_ylim(-0.03, 1.03)
    axis.axhline(chance, color=GREY, linestyle=":", linewidth=1.8, zorder=1)
    axis.set_title(name, fontsize=11, loc="left", pad=4)
    axis.set_xlabel(
        {"px": "pixels", "factor": "factor of all intensities"}.get(unit, unit), fontsize=_FONT
    )
    axis.tick_params(axis="y", labelsize=_FONT)
    axis.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
