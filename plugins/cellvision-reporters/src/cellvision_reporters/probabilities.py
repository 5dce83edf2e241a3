"""Reporter ``probabilities``: ROC, precision-recall and calibration curves of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, statistics
from cellvision_reporters.figures.axes import style_axes
from cellvision_reporters.figures.colours import BLUE, GREY, SERIES
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_height
from cellvision_reporters.figures.phrasing import format_interval, format_number, is_known
from cellvision_reporters.figures.reporter import Composed, RunSplit, SplitFigureReporter
from cellvision_reporters.figures.selection import shown_splits
from cellvision_reporters.figures.tables import write_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

_FEW = 8
"""Most classes that are named in the legend and get a band."""

_SIDE, _LEFT, _FONT = 2.75, 0.55, 9.5
_FEW_RESAMPLES = 200
"""Resamples of groups with many classes, so that forty classes take seconds."""

Curves = tuple[
    tuple[statistics.RocCurve, ...],
    tuple[statistics.PrecisionRecallCurve, ...],
    statistics.Calibration,
]


class Probabilities(SplitFigureReporter):
    """ROC, precision-recall and calibration curves of each test set, with areas and intervals.

    ROC and precision-recall curves are of one class against the rest. The bands are pointwise
    95 % bands over groups.
    """

    enabled_by_default: ClassVar[bool] = True

    split: str | None = None
    """The split to show. None: every test set, or the validation split if there is none."""

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits to draw; the training split is none of them."""
        splits = shown_splits(run, self.split)
        return [split for split in splits if self.split or split != run.training_split]

    def compose(self, target: RunSplit) -> Composed:
        """Compose the three kinds of curves of one split."""
        return self._compose(target, compute_curves(target.run, target.split))

    def _compose(self, target: RunSplit, curves: Curves) -> Composed:
        calibration = curves[2]
        caption = (
            f"{target.title}, n = {calibration.n} images. Brier score {calibration.brier:.3f} "
            f"(0 is perfect), expected calibration error "
            f"{calibration.expected_calibration_error:.3f} (biased upwards for few images)."
        )
        return Composed(_draw_figure(target, curves, caption), caption)

    def draw(self, target: RunSplit, path: Path) -> Sequence[Artifact]:
        """Draw the three kinds of curves of one split, and list their areas."""
        curves = compute_curves(target.run, target.split)
        figure, caption = self._compose(target, curves)
        saved = figure.save(path, self.dpi)
        table = write_csv(path.with_suffix(".csv"), area_table(curves), digits=6)
        areas = "Area under the ROC curve and average precision of each class, 95 % intervals."
        return [
            Artifact(
                saved,
                f"ROC, precision-recall and calibration: {target.title}",
                "figure",
                caption,
                order=115,
            ),
            Artifact(table, f"Areas under curves: {target.title}", "table", areas, order=480),
        ]


def compute_curves(run: Run, split: str) -> Curves:
    """Compute the curves of one split.

    Parameters
    ----------
    run
        The run.
    split
        Name of a split.
    """
    import numpy as np

    rows = run.predictions
    rows = rows[rows["split"] == split]
    table = rows[[f"p_{name}" for name in run.class_names]].to_numpy(np.float64)
    labels = rows["label"].to_numpy()
    groups = run.independent_units(rows["image"])
    resamples = 1000 if len(run.class_names) <= _FEW else _FEW_RESAMPLES
    names = run.class_names
    pooled: dict[str, Any] = {"class_names": names, "cross_validated": run.cross_validated}
    return (
        statistics.roc_curve(labels, table, groups, resamples=resamples, **pooled),
        statistics.precision_recall_curve(labels, table, groups, resamples=resamples, **pooled),
        statistics.calibration(labels, table, groups=groups, **pooled),
    )


def area_table(curves: Curves) -> pd.DataFrame:
    """Return one row per class: area under the ROC curve and average precision."""
    import pandas as pd

    roc, precision_recall, _ = curves
    return pd.DataFrame(
        [
            {
                "class": one.class_name,
                "prevalence": other.prevalence,
                "roc_auc": one.auc.estimate,
                "roc_auc_low": one.auc.low,
                "roc_auc_high": one.auc.high,
                "average_precision": other.average_precision.estimate,
                "average_precision_low": other.average_precision.low,
                "average_precision_high": other.average_precision.high,
            }
            for one, other in zip(roc, precision_recall, strict=True)
        ]
    )


def _draw_figure(target: RunSplit, curves: Curves, caption: str) -> CaptionedFigure:
    roc, precision_recall, calibration = curves
    # Both curves of two classes say the same: one is enough.
    first = 1 if len(roc) == 2 else 0
    named = len(roc) <= _FEW
    legend = text_height(len(roc) - first, _FONT) + 0.1 if named else 0.0
    figure = CaptionedFigure(
        target.run,
        3 * (_SIDE + _LEFT + 0.1) + 0.2,
        0.3 + _SIDE + 0.55 + legend,
        f"{target.title}: curves of the predicted probabilities",
        [
            "Left: ROC; middle: precision and recall; both of one class against the rest"
            + (", with pointwise 95 % bands." if named else f", of {len(roc)} classes.")
            + " Right: accuracy within bins of confidence with 95 % intervals; the diagonal is "
            "perfect calibration.",
            caption,
            target.note,
        ],
    )
    columns = [0.1 + _LEFT + index * (_SIDE + _LEFT + 0.1) for index in range(3)]
    axes = [figure.add_axes(left, 0.3, _SIDE, _SIDE) for left in columns]
    for index in range(first, len(roc)):
        style = {"color": SERIES[(index - first) % len(SERIES)], "linewidth": 1.8}
        _draw_roc(axes[0], roc[index], style, band=named)
        _draw_precision_recall(axes[1], precision_recall[index], style, band=named)
    axes[0].plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.6)
    _draw_calibration(axes[2], calibration)
    titles = ("ROC", "Precision and recall", "Calibration")
    names = (
        ("False positive rate", "True positive rate"),
        ("Recall", "Precision"),
        ("Confidence", "Accuracy"),
    )
    for each, title, (across, up) in zip(axes, titles, names, strict=True):
        each.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        each.set_title(title, fontsize=11, loc="left", pad=5)
        each.set_xlabel(across, fontsize=_FONT)
        each.set_ylabel(up, fontsize=_FONT)
        style_axes(each, 9)
        if named and title != "Calibration":
            _draw_legend(each)
    return figure


def _draw_roc(axes: Any, curve: statistics.RocCurve, style: dict[str, Any], *, band: bool) -> None:
    if not curve.false_positive_rate.size:
        return
    auc = curve.auc
    label = _legend_text(curve.class_name, "AUC", auc.estimate, auc.low, auc.high)
    if band:
        limits = (curve.grid, curve.band_low, curve.band_high)
        axes.fill_between(*limits, color=style["color"], alpha=0.12, linewidth=0)
    axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **style)


def _draw_precision_recall(
    axes: Any, curve: statistics.PrecisionRecallCurve, style: dict[str, Any], *, band: bool
) -> None:
    if not curve.recall.size:
        return
    area = curve.average_precision
    label = _legend_text(curve.class_name, "AP", area.estimate, area.low, area.high)
    if band:
        limits = (curve.grid, curve.band_low, curve.band_high)
        axes.fill_between(*limits, color=style["color"], alpha=0.12, linewidth=0)
    axes.plot(curve.recall, curve.precision, drawstyle="steps-post", label=label, **style)


def _legend_text(name: str, measure: str, estimate: float, low: float, high: float) -> str:
    interval = format_interval(low, high, 2)
    numbers = f": {measure} {format_number(estimate, 2)} ({interval})"
    # A label that begins with "_" would be missing from the legend.
    return f"\N{ZERO WIDTH SPACE}{fit_text(name, 1.2, _FONT)}{numbers}"


def _draw_calibration(axes: Any, calibration: statistics.Calibration) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.6)
    filled = calibration.counts > 0
    accuracy = calibration.accuracy[filled]
    low = (accuracy - calibration.low[filled]).clip(min=0)
    high = (calibration.high[filled] - accuracy).clip(min=0)
    confidence = calibration.confidence[filled]
    assert all(is_known(value) for value in accuracy)
    axes.errorbar(
        confidence, accuracy, yerr=[low, high], color=BLUE, marker="o", markersize=5, capsize=3
    )
    top = calibration.counts.max()
    width = calibration.edges[1] - calibration.edges[0]
    centres = calibration.edges[:-1] + width / 2
    heights = 0.18 * calibration.counts / top
    axes.bar(centres, heights, width=0.9 * width, color=BLUE, alpha=0.18, zorder=0)


def _draw_legend(axes: Any) -> None:
    if not axes.get_legend_handles_labels()[0]:
        return  # no class has a curve
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.42 / _SIDE),
        fontsize=_FONT - 0.5,
        frameon=False,
        borderaxespad=0,
        handlelength=1.4,
        labelspacing=0.3,
    )
