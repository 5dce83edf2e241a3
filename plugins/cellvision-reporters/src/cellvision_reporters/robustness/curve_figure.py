"""Draws accuracy against the strength of each perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.axes import style_axes
from cellvision_reporters.figures.colours import BLUE, GREY, MARKERS, SERIES
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_height
from cellvision_reporters.figures.phrasing import capitalise, plural
from cellvision_reporters.robustness.perturbations import IntensityRange, format_strength

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

_COLUMNS, _WIDTH, _HEIGHT = 3, 2.6, 1.7
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.45, 0.1, 0.3, 0.55
_FONT = 9.5


def draw_run(run: Run, split: str, table: pd.DataFrame, limits: IntensityRange) -> CaptionedFigure:
    """Draw the accuracy of one run on perturbed images, with 95 % intervals."""
    unchanged = table.iloc[0]
    zero, one = run.intensity_range
    levels = f"{0.01 * limits.width * (one - zero):.3g} intensity levels"
    n, total = int(unchanged["n"]), run.scores[split].n
    some = f"{n} of {total} images, balanced over classes" if n < total else f"all {n} images"
    captions = [
        f"{capitalise(some)}; bars: 95 % intervals. Dashed: accuracy on the same images "
        f"unchanged, {unchanged['accuracy']:.2f} ({unchanged['accuracy_low']:.2f} to "
        f"{unchanged['accuracy_high']:.2f}); dotted: chance. Percentages are of the intensity "
        f"range that these images use ({limits.low:.2g} to {limits.high:.2g} of the full range): "
        f"1 % is {0.01 * limits.width:.2g}, {levels}.",
    ]
    names = list(dict.fromkeys(table["change"][1:]))
    figure, axes = _small_axes(run, names, f"{split}: accuracy on perturbed images", captions)
    for each, name in zip(axes, names, strict=True):
        rows = table[table["change"] == name]
        low = (rows["accuracy"] - rows["accuracy_low"]).clip(lower=0)
        high = (rows["accuracy_high"] - rows["accuracy"]).clip(lower=0)
        each.errorbar(
            range(1, len(rows) + 1),
            rows["accuracy"],
            yerr=[low, high],
            color=BLUE,
            marker="o",
            markersize=5,
            capsize=3,
        )
        _finish(each, name, rows, 1 / len(run.class_names))
        each.axhline(unchanged["accuracy"], color=GREY, linestyle="--", linewidth=1.3, zorder=1)
    return figure


def draw_study(study: Study, split: str, table: pd.DataFrame) -> CaptionedFigure:
    """Draw the mean over runs and their range, one line per experiment."""
    names = [name for name in dict.fromkeys(table["change"]) if name != "unchanged"]
    experiments = list(dict.fromkeys(table["experiment"]))
    n = int(table["n"].max())
    captions = [
        f"Mean over runs and their range (bars), on the same {n} images in every run, balanced "
        "over classes. None: unchanged. Dotted: chance. The range shows the variation of "
        "training; the table beside it has the 95 % sampling intervals of each run."
    ]
    legend = text_height(-(-len(experiments) // 2), _FONT) + 0.1
    title = f"{split}: accuracy on perturbed images"
    figure, axes = _small_axes(study, names, title, captions, legend)
    chance = study.experiments[0].chance
    for each, name in zip(axes, names, strict=True):
        for index, experiment in enumerate(experiments):
            _draw_experiment(each, table, str(experiment), name, index)
        first = table[(table["change"] == name) & (table["run"] == table["run"].iloc[0])]
        _finish(each, name, first, chance)
        ticks = [label.get_text() for label in each.get_xticklabels()]
        each.set_xticks(range(len(ticks) + 1), ["none", *ticks], fontsize=_FONT)
        each.set_xlim(-0.4, len(first) + 0.5)
    _draw_legend(figure, axes)
    return figure


def _draw_experiment(
    axes: Any, table: pd.DataFrame, experiment: str, change: str, index: int
) -> None:
    rows = table[table["experiment"] == experiment]
    runs = rows["run"].nunique()
    curve = rows[rows["change"].isin(["unchanged", change])]
    by_strength = curve.groupby("strength", sort=False)["accuracy"]
    mean, lowest, highest = by_strength.mean(), by_strength.min(), by_strength.max()
    axes.errorbar(
        range(len(mean)),
        mean,
        yerr=[mean - lowest, highest - mean],
        color=SERIES[index % len(SERIES)],
        marker=MARKERS[index % len(MARKERS)],
        markersize=5,
        capsize=3,
        label=fit_text(f"{experiment} ({plural(runs, 'run')})", 3.6, _FONT),
    )


def _draw_legend(figure: CaptionedFigure, axes: Sequence[Any]) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    bottom = axes[-1].get_position().y0 - 0.45 / figure.canvas.get_figheight()
    figure.canvas.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(0.98, bottom),
        bbox_transform=figure.canvas.transFigure,
        ncols=2,
        fontsize=_FONT,
        frameon=False,
    )


def _small_axes(
    results: Run | Study,
    names: Sequence[str],
    title: str,
    captions: Sequence[str],
    legend: float = 0,
) -> tuple[CaptionedFigure, list[Any]]:
    columns = min(_COLUMNS, len(names))
    across, down = _LEFT + _WIDTH + _RIGHT, _ABOVE + _HEIGHT + _BELOW
    rows = -(-len(names) // columns)
    width = max(columns * across + 0.25, 6.0)
    figure = CaptionedFigure(results, width, rows * down + legend, title, captions)
    axes = [
        figure.add_axes(
            0.15 + _LEFT + (index % columns) * across,
            _ABOVE + (index // columns) * down,
            _WIDTH,
            _HEIGHT,
        )
        for index in range(len(names))
    ]
    return figure, axes


def _finish(axes: Any, name: str, rows: pd.DataFrame, chance: float) -> None:
    unit = str(rows["unit"].iloc[0])
    labels = [
        format_strength(strength, unit).split("\N{NO-BREAK SPACE}px")[0]
        for strength in rows["strength"]
    ]
    axes.set_xticks(range(1, len(rows) + 1), labels, fontsize=_FONT)
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.set_ylim(-0.03, 1.03)
    axes.axhline(chance, color=GREY, linestyle=":", linewidth=1.8, zorder=1)
    axes.set_title(name, fontsize=11, loc="left", pad=4)
    units = {"px": "pixels", "factor": "factor of all intensities"}
    axes.set_xlabel(units.get(unit, unit), fontsize=_FONT)
    style_axes(axes, grid="y")
