"""The controls of a study beside the true labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision_reporters.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION
from cellvision_reporters.figures.display import Stretch
from cellvision_reporters.figures.experiment_runs import Arm, arms_of, controls_of
from cellvision_reporters.figures.figure import Sheet, fitted
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.selection import even_over_classes
from cellvision_reporters.figures.settings import Picture
from cellvision_reporters.figures.ticks import ticks

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

STYLES = {
    "": ("true labels", BLUE, "o", "-"),
    "permuted_groups": ("labels permuted over groups", ORANGE, "s", "--"),
    "permuted_images": ("labels permuted over images", VERMILION, "^", "-."),
    "background": ("background alone", GREEN, "D", ":"),
    "intensity": ("intensity alone", PURPLE, "v", "-"),
}
"""How each control is called and drawn; the empty name is the experiment itself."""

FITTED = 0.9
"""Training images are called fitted from this accuracy on."""

_ROW, _LABEL, _WIDTH, _GAP = 0.5, 2.35, 3.6, 0.75
_SHOWN = 6
"""Images in the picture of what is masked."""


class Controls(Picture):
    """Held-out accuracy of the true labels and of each control, and how fast each is fitted.

    Where the background was a control, a second picture shows what was masked.
    """

    enabled_by_default: ClassVar[bool] = True

    def files(self, study: Study) -> dict[str, str]:
        """The file names, by what they show; none where no control was run."""
        arms = [arm for arm in arms_of(study) if controls_of(study, arm) and arm.test_splits]
        alone = len(arms) == 1
        named = {"": f"controls{self.suffix}"} if alone else {}
        if not alone:
            named = file_names("controls", [arm.name for arm in arms], self.suffix)
        if any("background" in controls_of(study, arm) for arm in arms):
            named["What the background control sees"] = f"masks{self.suffix}"
        return named

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Draw the controls of each experiment; nothing where none was run."""
        named = self.files(study)
        made = []
        arms = [arm for arm in arms_of(study) if controls_of(study, arm) and arm.test_splits]
        for arm in arms:
            file = named[""] if "" in named else named[arm.name]
            made.append(_draw(study, arm).save(folder / file, self.dpi))
        masked = [arm for arm in arms if "background" in controls_of(study, arm)]
        if masked:
            sheet = _masks(study, masked[0].runs[0], controls_of(study, masked[0])["background"][0])
            made.append(sheet.save(folder / f"masks{self.suffix}", self.dpi))
        return made


def _draw(study: Study, arm: Arm) -> Sheet:
    controls = controls_of(study, arm)
    shown = ["", *controls]
    told = {v["split"]: v for v in study.verdicts if v["experiment"] == arm.name}
    height = _ROW * len(shown)
    above, below = 0.34, 0.46
    total = max((height + above + below) * len(told) + 0.3, 3.2)
    sheet = Sheet(
        study,
        _LABEL + 2 * _WIDTH + _GAP + 0.35,
        total,
        f"Controls: {arm.name}",
        [
            "Left: every point is one run; diamond and bar: mean over runs and 95 % sampling "
            "interval; dotted: chance. Accuracy of permuted labels is on the permuted labels. "
            "Right, as description only: how fast training images are fitted, mean over runs "
            f"({_fitting(study, arm, shown)})."
        ],
    )
    for place, (split, verdict) in enumerate(told.items()):
        axis = sheet.axes(_LABEL, above + place * (height + above + below), _WIDTH, height)
        _accuracies(axis, arm, controls, split, verdict)
        axis.set_title(fitted(split, _WIDTH, 10.5), fontsize=10.5, loc="left", pad=5)
        axis.set_xlabel("Held-out accuracy", fontsize=10)
    axis = sheet.axes(_LABEL + _WIDTH + _GAP, above, _WIDTH, total - above - 0.7)
    for name in shown:
        history = _history(study, arm, name)
        if history.empty:
            continue
        mean = history.groupby("epoch")["accuracy"].mean()
        _, colour, marker, line = STYLES[name]
        style: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": line}
        axis.plot(mean.index, mean.to_numpy(), linewidth=2, markersize=4, **style)
    axis.axhline(arm.chance, color=GREY, linestyle=":", linewidth=1.8)
    last = int(study.history["epoch"].max())
    axis.set_xticks(ticks(1, last))
    axis.set_ylim(-0.02, 1.03)
    axis.set_xlabel("Epoch", fontsize=10)
    axis.set_title("Training accuracy", fontsize=10.5, loc="left", pad=5)
    _tidy(axis)
    return sheet


def _accuracies(
    axis: Any,
    arm: Arm,
    controls: Mapping[str, Sequence[Run]],
    split: str,
    verdict: Mapping[str, Any],
) -> None:
    import numpy as np

    results = {"": verdict, **{each["control"]: each for each in verdict["controls"]}}
    runs = {"": arm.runs, **controls}
    for row, name in enumerate(runs):
        _, colour, marker, _ = STYLES[name]
        values = np.array([run.scores[split].accuracy for run in runs[name]])
        spread = np.random.default_rng(row).uniform(-0.13, 0.13, len(values))
        axis.plot(
            *(values, row - 0.14 + spread),
            marker=marker,
            linestyle="none",
            color=colour,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3,
        )
        result = results[name]
        low, middle, high = (result[f"accuracy{end}"] for end in ("_low", "", "_high"))
        axis.errorbar(
            middle,
            row + 0.22,
            xerr=[[max(middle - low, 0)], [max(high - middle, 0)]],
            fmt="D",
            color=BLACK,
            markersize=4.5,
            capsize=3,
            linewidth=1.3,
            zorder=4,
        )
    axis.axvline(arm.chance, color=GREY, linestyle=":", linewidth=1.8, zorder=1)
    axis.set_yticks(range(len(runs)), [STYLES[name][0] for name in runs], fontsize=10)
    axis.set_ylim(len(runs) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.tick_params(axis="y", length=0)
    for name, tick in zip(runs, axis.get_yticklabels(), strict=True):
        tick.set_color(BLACK if STYLES[name][1] == ORANGE else STYLES[name][1])
    _tidy(axis)


def _tidy(axis: Any) -> None:
    axis.tick_params(labelsize=9.5)
    axis.grid(color="#E9E9E9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _history(study: Study, arm: Arm, control: str) -> pd.DataFrame:
    if not control:
        return study.history[study.history["experiment"] == arm.name]
    table = study.control_history
    return table[(table["experiment"] == arm.name) & (table["control"] == control)]


def _fitting(study: Study, arm: Arm, names: Sequence[str]) -> str:
    """By which epoch each has fitted its training images."""
    told = []
    for name in names:
        history = _history(study, arm, name)
        if history.empty:
            continue
        mean = history.groupby("epoch")["accuracy"].mean()
        reached = mean.index[mean >= FITTED]
        when = f"{FITTED:g} by epoch {int(reached[0])}" if len(reached) else f"{FITTED:g} never"
        told.append(f"{STYLES[name][0]}: {when}")
    return "; ".join(told)


def _masks(study: Study, true: Run, background: Run) -> Sheet:
    """Images, the regions that were masked, and what was left."""
    import numpy as np

    rows = background.predictions
    chosen = even_over_classes(rows[rows["split"] == background.training_split], _SHOWN)
    images = [np.asarray(image) for image in true.network_input(list(chosen["image"]))]
    left = [np.asarray(image) for image in background.network_input(list(chosen["image"]))]
    asked = true.metadata.experiment.get("preprocessing", {}).get("channels")
    channels = asked if isinstance(asked, list | tuple) else None
    stretch = Stretch.of(images, 1.0, 0.0, channels, colour=channels is None)
    cell, label, head = 1.35, 1.25, 0.3
    sheet = Sheet(
        study,
        label + len(images) * (cell + 0.1) + 0.1,
        head + 3 * (cell + 0.1) + 0.1,
        "What the background control sees",
        [
            "Cells are where any channel is brighter than Otsu's threshold of that image, with a "
            "margin around (yellow). They are replaced by the background around them. Look: if "
            "cells are left, or all is masked, the control tells nothing.",
            stretch.words(),
        ],
    )
    names = ("as it is", "masked", "what is left")
    for column, (image, rest, name) in enumerate(zip(images, left, chosen["label"], strict=True)):
        for row in range(3):
            axis = sheet.axes(label + column * (cell + 0.1), head + row * (cell + 0.1), cell, cell)
            axis.imshow(stretch.rgb(rest if row == 2 else image), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            masked = (image != rest).any(axis=-1)
            if row == 1 and masked.any():
                axis.contour(masked, levels=[0.5], colors="#F0E442", linewidths=1.4)
            if row == 0:
                axis.set_title(fitted(str(name), cell, 9.5), fontsize=9.5, pad=4)
            if column == 0:
                axis.set_ylabel(names[row], fontsize=9.5, rotation=0, ha="right", va="center")
    return sheet
