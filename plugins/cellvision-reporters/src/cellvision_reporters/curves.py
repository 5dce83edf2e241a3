"""Loss and accuracy, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision_reporters.figures.colours import BLUE, GREY, ORANGE, PURPLE
from cellvision_reporters.figures.figure import Sheet, fitted
from cellvision_reporters.figures.phrasing import known
from cellvision_reporters.figures.settings import Picture
from cellvision_reporters.figures.ticks import ticks

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run


class Curves(Picture):
    """Training and validation loss and accuracy per epoch, with chance and the test accuracy."""

    enabled_by_default: ClassVar[bool] = True

    def files(self, run: Run) -> dict[str, str]:
        """The file name."""
        return {} if run.history.empty else {"": f"curves{self.suffix}"}

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Draw the curves; nothing where no epoch was trained."""
        history = run.history
        if history.empty:
            return []
        tests = list(run.test_splits)
        sheet = Sheet(
            run,
            9.2,
            3.9 + 0.2 * max(len(tests) - 2, 0),
            f"{len(history)} epoch{'s' if len(history) > 1 else ''} of training",
            [_caption(history, tests)],
        )
        left, right = sheet.figure.subplots(1, 2)
        _pair(left, history, "loss", "Loss")
        _pair(right, history, "accuracy", "Accuracy")
        chance = 1 / len(run.class_names)
        right.axhline(
            chance, color=GREY, linestyle=":", linewidth=1.8, label=f"chance ({chance:.3g})"
        )
        last = float(history["epoch"].max())
        _tests(right, run, tests, last)
        right.set_ylim(-0.02, 1.02)
        first = float(history["epoch"].min())
        span = max(last - first, 1.0)
        for axis in (left, right):
            axis.set_xlabel("Epoch", fontsize=10.5)
            axis.tick_params(labelsize=10)
            axis.grid(color="#E4E4E4", linewidth=0.8)
            axis.set_axisbelow(True)
            axis.spines[["top", "right"]].set_visible(False)
        for axis, room in ((left, 0.06), (right, 0.06 + 0.07 * len(tests))):
            axis.set_xlim(first - 0.06 * span, last + room * span)
            axis.set_xticks(ticks(int(first), int(last)))
        handles, labels = right.get_legend_handles_labels()
        right.legend(
            handles,
            [fitted(label, 3.6, 9.5) for label in labels],
            fontsize=9.5,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            frameon=False,
            ncols=1 if any(len(label) > 22 for label in labels) else 2,
        )
        return [sheet.save(folder / self.files(run)[""], self.dpi)]


def _pair(axis: Any, history: pd.DataFrame, column: str, label: str) -> None:
    axis.plot(
        history["epoch"], history[column], color=BLUE, marker="o", markersize=4.5, label="training"
    )
    held = history.get(f"val_{column}")
    if held is not None and held.notna().any():
        style = {"color": ORANGE, "marker": "s", "markersize": 4.5, "linestyle": "--"}
        axis.plot(history["epoch"], held, label="validation", **style)
    axis.set_title(label, fontsize=11, loc="left")


def _tests(axis: Any, run: Run, tests: Sequence[str], last: float) -> None:
    """Mark the test accuracies behind the last epoch, where no epoch is."""
    epochs = run.history["epoch"]
    span = max(float(epochs.max() - epochs.min()), 1.0)
    for place, split in enumerate(tests):
        score = run.scores[split]
        if not known(score.get("accuracy")):
            continue
        accuracy = float(score.accuracy)
        error = None
        if known(score.get("accuracy_low")) and known(score.get("accuracy_high")):
            error = [
                [max(accuracy - float(score.accuracy_low), 0)],
                [max(float(score.accuracy_high) - accuracy, 0)],
            ]
        axis.errorbar(
            last + (0.08 + 0.07 * place) * span,
            accuracy,
            yerr=error,
            color=PURPLE,
            ecolor=PURPLE,
            marker="Dv^<>ph*"[place % 8],
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.6,
            capsize=3,
            linestyle="none",
            label=split,
        )


def _caption(history: pd.DataFrame, tests: Sequence[str]) -> str:
    held = history.get("val_loss")
    told = []
    if held is None or not held.notna().any():
        told.append("There was no validation split.")
    told.append(
        "Behind the last epoch: accuracy of the finished model on each test set, with its "
        "95 % sampling interval."
        if tests
        else "There is no test set."
    )
    return " ".join(told)
