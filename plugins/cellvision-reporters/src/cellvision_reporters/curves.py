"""Reporter ``curves``: loss and accuracy of each epoch of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact
from cellvision_reporters.figures.axes import epoch_ticks, style_axes
from cellvision_reporters.figures.colours import BLUE, GREY, ORANGE, PURPLE
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text
from cellvision_reporters.figures.phrasing import format_training_images, plural
from cellvision_reporters.figures.reporter import Composed, FigureReporter

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study


class Curves(FigureReporter):
    """Training and validation loss and accuracy per epoch, with chance and the test accuracy.

    Further metrics of the architecture's recipe get panels below.
    """

    enabled_by_default: ClassVar[bool] = True

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Draw the curves; nothing for a run without epochs."""
        composed = _compose(run)
        if composed is None:
            return []
        path = composed.figure.save(folder / f"curves{self.suffix}", self.dpi)
        return [Artifact(path, "Learning curves", "figure", composed.caption, order=210)]

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw the curves of a run."""
        from cellvision import Run

        if not isinstance(results, Run):
            return super().figure(results)
        return self.finished(_compose(results), results)


def _compose(run: Run) -> Composed | None:
    """Compose the figure; None for a run without epochs."""
    history = run.history
    if history.empty:
        return None
    tests = run.test_splits
    caption = _caption(history, tests, format_training_images([run]))
    further = _further_metrics(history)
    rows = 1 + (len(further) + 1) // 2
    height = 3.9 * rows + 0.2 * max(len(tests) - 2, 0)
    title = f"{plural(len(history), 'epoch')} of training"
    figure = CaptionedFigure(run, 9.2, height, title, [caption])
    loss_axes, accuracy_axes, *more = figure.canvas.subplots(rows, 2).flat
    _draw_pair(loss_axes, history, "loss", "Loss")
    _draw_pair(accuracy_axes, history, "accuracy", "Accuracy")
    chance = 1 / len(run.class_names)
    label = f"chance ({chance:.3g})"
    accuracy_axes.axhline(chance, color=GREY, linestyle=":", linewidth=1.8, label=label)
    _draw_test_scores(accuracy_axes, run, history)
    accuracy_axes.set_ylim(-0.02, 1.02)
    first, last = float(history["epoch"].min()), float(history["epoch"].max())
    span = max(last - first, 1.0)
    for axes, name in zip(more, further, strict=False):
        _draw_pair(axes, history, name, name.replace("_", " ").capitalize())
    for axes in more[len(further) :]:
        axes.set_visible(False)
    rooms = dict.fromkeys((loss_axes, *more[: len(further)]), 0.06)
    rooms[accuracy_axes] = 0.06 + 0.07 * len(tests)
    for axes, room in rooms.items():
        axes.set_xlabel("Epoch", fontsize=10.5)
        style_axes(axes, 10)
        axes.set_xlim(first - 0.06 * span, last + room * span)
        axes.set_xticks(epoch_ticks(int(first), int(last)))
    _draw_legend(accuracy_axes)
    return Composed(figure, f"{title}. {caption}")


def _further_metrics(history: pd.DataFrame) -> list[str]:
    """Return the names of the architecture's further metrics."""
    names = [name for name in history.columns if f"val_{name}" in history.columns]
    return [name for name in names if name not in ("loss", "accuracy")]


def _draw_pair(axes: Any, history: pd.DataFrame, column: str, title: str) -> None:
    style: dict[str, Any] = {"marker": "o", "markersize": 4.5, "label": "training"}
    axes.plot(history["epoch"], history[column], color=BLUE, **style)
    validation = history.get(f"val_{column}")
    if validation is not None and validation.notna().any():
        style = {"marker": "s", "markersize": 4.5, "linestyle": "--", "label": "validation"}
        axes.plot(history["epoch"], validation, color=ORANGE, **style)
    axes.set_title(title, fontsize=11, loc="left")


def _draw_test_scores(axes: Any, run: Run, history: pd.DataFrame) -> None:
    """Mark the test accuracies to the right of the last epoch."""
    last = float(history["epoch"].max())
    span = max(last - float(history["epoch"].min()), 1.0)
    for index, split in enumerate(run.test_splits):
        score = run.scores[split]
        low = max(score.accuracy - score.accuracy_low, 0)
        high = max(score.accuracy_high - score.accuracy, 0)
        axes.errorbar(
            last + (0.08 + 0.07 * index) * span,
            score.accuracy,
            yerr=[[low], [high]],
            color=PURPLE,
            ecolor=PURPLE,
            marker="Dv^<>ph*"[index % 8],
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.6,
            capsize=3,
            linestyle="none",
            # A label that begins with "_" would be missing from the legend.
            label=f"\N{ZERO WIDTH SPACE}{split}",
        )


def _draw_legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        [fit_text(label.lstrip("\N{ZERO WIDTH SPACE}"), 3.6, 9.5) for label in labels],
        fontsize=9.5,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        frameon=False,
        ncols=1 if any(len(label) > 22 for label in labels) else 2,
    )


def _caption(history: pd.DataFrame, tests: Sequence[str], images: str) -> str:
    curves = f"Curves: {images}. " if images else ""
    validation = history.get("val_loss")
    unvalidated = validation is None or not validation.notna().any()
    first = "There is no validation split. " if unvalidated else ""
    second = (
        "Right of the last epoch: accuracy of the finished model on each test set with its 95 % "
        "sampling interval."
        if tests
        else "There is no test set."
    )
    return curves + first + second
