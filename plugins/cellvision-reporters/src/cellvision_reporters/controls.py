"""Reporter ``controls``: the controls of a study beside the true labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, errors, statistics
from cellvision_reporters.figures.axes import epoch_ticks, style_axes
from cellvision_reporters.figures.colours import BLACK, GREY, ORANGE, VERMILION, YELLOW
from cellvision_reporters.figures.control_styles import SeriesStyle, control_label, control_styles
from cellvision_reporters.figures.display import display_range
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.phrasing import plural
from cellvision_reporters.figures.reporter import FigureReporter
from cellvision_reporters.figures.selection import balanced_sample

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study
    from cellvision.results.study import StudyExperiment
    from cellvision.results.verdicts import VerdictRecord

_FITTED = 0.9
"""Training images count as fitted from this training accuracy on."""

_ROW, _LABEL, _WIDTH, _GAP = 0.5, 2.35, 3.0, 0.75
_DIFFERENCE_WIDTH, _DIFFERENCE_GAP = 2.5, 0.3
_ABOVE, _BELOW = 0.34, 0.46
_SHOWN_IMAGES = 6


_DIFFERENCES = (
    "Middle: balanced accuracy of the network minus that of the control on the same images, with "
    "its 95 % interval and the finding; dashed: the margin below which the network does no more. "
)


class Controls(FigureReporter):
    """Held-out accuracy of the network and of each control, and how much more the network does.

    The controls that are simpler models of the same images (brightness, texture) are the rungs of
    a ladder: if one of them does better, the network is not trained enough. A further figure shows
    the images of each control that changes them.
    """

    enabled_by_default: ClassVar[bool] = True

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Draw the controls of each experiment; nothing if none was run."""
        controlled = [each for each in study.experiments if each.controls and each.test_splits]
        names = [each.name for each in controlled]
        files = (
            {names[0]: f"controls{self.suffix}"}
            if len(names) == 1
            else file_names("controls", names, self.suffix)
        )
        artifacts = []
        for each in controlled:
            title = f"Controls: {each.name}" if len(names) > 1 else "Controls"
            caption = " ".join(filter(None, [_rungs(study, each), _fitting(study, each)]))
            path = _draw(study, each).save(folder / files[each.name], self.dpi)
            artifacts.append(Artifact(path, title, "figure", caption, order=300))
        return [*artifacts, *self._changed_images(study, controlled, folder)]

    def _changed_images(
        self, study: Study, controlled: Sequence[StudyExperiment], folder: Path
    ) -> Iterator[Artifact]:
        """Draw what each control sees that changes images; nothing if its plugin is missing."""
        first = {
            name: (each.runs[0], runs[0])
            for each in reversed(controlled)
            for name, runs in each.controls.items()
            if runs[0].metadata.image_control is not None
        }
        files = file_names("images", first, self.suffix)
        for name, (true, changed) in first.items():
            try:
                figure = _draw_images(study, name, true, changed)
            except errors.PluginError:
                continue
            caption = "Training images, outlines of what the control changes, and what is left."
            title = f"What a control sees: {control_label(study, name)}"
            path = figure.save(folder / files[name], self.dpi)
            yield Artifact(path, title, "figure", caption, order=310)


def _draw(study: Study, experiment: StudyExperiment) -> CaptionedFigure:
    styles = control_styles(study, experiment.controls)
    verdicts = [each for each in study.verdicts if each.experiment == experiment.name]
    compared = any(control.difference for verdict in verdicts for control in verdict.controls)
    height = _ROW * len(styles)
    total = max((height + _ABOVE + _BELOW) * len(verdicts) + 0.3, 3.2)
    middle = _DIFFERENCE_WIDTH + _DIFFERENCE_GAP if compared else 0
    figure = CaptionedFigure(
        study,
        _LABEL + 2 * _WIDTH + middle + _GAP + 0.35,
        total,
        f"Controls: {experiment.name}",
        [
            "Left: every point is one run; diamond and bar: mean over runs and 95 % sampling "
            "interval; dotted: chance. The accuracy of permuted labels is on the permuted labels. "
            + (_DIFFERENCES if compared else "")
            + "Right: how fast training images are fitted, mean over runs.",
            *filter(None, [_rungs(study, experiment), _fitting(study, experiment)]),
        ],
    )
    for index, verdict in enumerate(verdicts):
        top = _ABOVE + index * (height + _ABOVE + _BELOW)
        axes = figure.add_axes(_LABEL, top, _WIDTH, height)
        _draw_accuracies(axes, experiment, styles, verdict)
        if compared:
            left = _LABEL + _WIDTH + _DIFFERENCE_GAP
            axes = figure.add_axes(left, top, _DIFFERENCE_WIDTH, height)
            _draw_differences(axes, styles, verdict)
    axes = figure.add_axes(_LABEL + _WIDTH + middle + _GAP, _ABOVE, _WIDTH, total - _ABOVE - 0.7)
    _draw_fitting(axes, experiment, styles)
    return figure


def _draw_accuracies(
    axes: Any,
    experiment: StudyExperiment,
    styles: dict[str, SeriesStyle],
    verdict: VerdictRecord,
) -> None:
    import numpy as np

    runs = {"": experiment.runs, **experiment.controls}
    results = {"": verdict, **{each.control: each for each in verdict.controls}}
    for row, (name, style) in enumerate(styles.items()):
        values = np.array([run.scores[verdict.split].accuracy for run in runs[name]])
        jitter = np.random.default_rng(row).uniform(-0.13, 0.13, len(values))
        axes.plot(
            values,
            row - 0.14 + jitter,
            marker=style.marker,
            linestyle="none",
            color=style.colour,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3,
        )
        if name in results:
            _draw_interval(axes, row + 0.22, results[name])
    axes.axvline(experiment.chance, color=GREY, linestyle=":", linewidth=1.8, zorder=1)
    labels = [fit_text(style.label, _LABEL - 0.15, 10, 2) for style in styles.values()]
    axes.set_yticks(range(len(styles)), labels, fontsize=10)
    axes.set_ylim(len(styles) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    style_axes(axes)
    axes.tick_params(axis="y", length=0)
    for style, tick in zip(styles.values(), axes.get_yticklabels(), strict=True):
        tick.set_color(BLACK if style.colour in (ORANGE, YELLOW) else style.colour)
    axes.set_title(fit_text(verdict.split, _WIDTH, 10.5), fontsize=10.5, loc="left", pad=5)
    axes.set_xlabel("Held-out accuracy", fontsize=10)


def _draw_interval(axes: Any, row: float, result: Any) -> None:
    low, middle, high = result.accuracy_low, result.accuracy, result.accuracy_high
    axes.errorbar(
        middle,
        row,
        xerr=[[max(middle - low, 0)], [max(high - middle, 0)]],
        fmt="D",
        color=BLACK,
        markersize=4.5,
        capsize=3,
        linewidth=1.3,
        zorder=4,
    )


def _draw_differences(axes: Any, styles: dict[str, SeriesStyle], verdict: VerdictRecord) -> None:
    """Draw the balanced accuracy of the network minus that of each control."""
    results = {control.control: control for control in verdict.controls}
    reach = 0.1
    for row, name in enumerate(styles):
        control = results.get(name)
        if control is None or control.difference is None:
            continue
        gap = control.difference
        reach = max(reach, abs(gap.low), abs(gap.high))
        colour = VERMILION if control.finding == "worse" else BLACK
        axes.errorbar(
            gap.estimate,
            row + 0.1,
            xerr=[[max(gap.estimate - gap.low, 0)], [max(gap.high - gap.estimate, 0)]],
            fmt="D",
            color=colour,
            markersize=4.5,
            capsize=3,
            linewidth=1.3,
            zorder=4,
        )
        axes.annotate(
            control.finding, (gap.estimate, row - 0.12), ha="center", va="bottom", fontsize=8.5
        )
    axes.axvline(0, color=GREY, linewidth=1.2, zorder=1)
    axes.axvline(statistics.MARGIN, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
    axes.set_yticks([])
    axes.set_ylim(len(styles) - 0.5, -0.5)
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    style_axes(axes)
    axes.set_title("Network minus control", fontsize=10.5, loc="left", pad=5)
    axes.set_xlabel("Balanced accuracy", fontsize=10)


def _rungs(study: Study, experiment: StudyExperiment) -> str:
    """Name the simpler models that do better than the network."""
    better = dict.fromkeys(
        control_label(study, control.control)
        for verdict in study.verdicts
        for control in verdict.controls
        if verdict.experiment == experiment.name
        and control.kind == "lower rung"
        and control.finding == "worse"
    )
    verb = "does" if len(better) == 1 else "do"
    return (
        f"The network is not trained enough: {' and '.join(better)} {verb} better."
        if better
        else ""
    )


def _draw_fitting(axes: Any, experiment: StudyExperiment, styles: dict[str, SeriesStyle]) -> None:
    last = 1
    for name, style in styles.items():
        history = _history(experiment, name)
        if history.empty:
            continue
        mean = history.groupby("epoch")["accuracy"].mean()
        last = max(last, int(mean.index.max()))
        options = {"color": style.colour, "marker": style.marker, "linestyle": style.line}
        axes.plot(mean.index, mean.to_numpy(), linewidth=2, markersize=4, **options)
    axes.axhline(experiment.chance, color=GREY, linestyle=":", linewidth=1.8)
    axes.set_xticks(epoch_ticks(1, last))
    axes.set_ylim(-0.02, 1.03)
    axes.set_xlabel("Epoch", fontsize=10)
    axes.set_title("Training accuracy", fontsize=10.5, loc="left", pad=5)
    style_axes(axes)


def _history(experiment: StudyExperiment, control: str) -> pd.DataFrame:
    """Return the epochs of a series; empty for a control with another network or training."""
    own = experiment.runs[0].metadata.experiment
    history = experiment.history(control or None)
    runs = experiment.controls.get(control, ())
    compared = all(
        run.metadata.experiment.get(part) == own.get(part)
        for run in runs[:1]
        for part in ("architecture", "augmenters")
    )
    return history if compared else history.head(0)


def _fitting(study: Study, experiment: StudyExperiment) -> str:
    """State the epoch by which each series has fitted its training images."""
    parts = []
    for name, style in control_styles(study, experiment.controls).items():
        history = _history(experiment, name)
        if history.empty:
            continue
        mean = history.groupby("epoch")["accuracy"].mean()
        fitted = mean.index[mean >= _FITTED]
        when = f"by epoch {int(fitted[0])}" if len(fitted) else "never"
        parts.append(f"{style.label}: {when}")
    return f"Training accuracy reaches {_FITTED:g} for {'; '.join(parts)}." if parts else ""


def _draw_images(study: Study, control: str, true: Run, changed: Run) -> CaptionedFigure:
    """Draw images, what a control changes in them, and what is left."""
    import numpy as np

    rows = changed.predictions
    training = rows["split"] == changed.training_split
    rows = rows[training] if training.any() else rows  # out-of-fold predictions have none
    selected = balanced_sample(rows, _SHOWN_IMAGES)
    images = [np.asarray(image) for image in true.network_input(list(selected["image"]))]
    remaining = [np.asarray(image) for image in changed.network_input(list(selected["image"]))]
    scale = display_range(true, images)
    description = next((c.description for c in study.metadata.controls if c.name == control), "")
    cell, label, head = 1.35, 1.25, 0.3
    figure = CaptionedFigure(
        study,
        label + len(images) * (cell + 0.1) + 0.1,
        head + 3 * (cell + 0.1) + 0.1,
        f"What a control sees: {control_label(study, control)}, "
        f"{plural(len(images), 'training image')}",
        [
            f"{description} Yellow: outlines of what changes. Check that the control removes what "
            "it should, and no more; if it does not, it shows nothing.",
            scale.describe(),
        ],
    )
    columns = zip(images, remaining, selected["label"], strict=True)
    for column, (image, rest, name) in enumerate(columns):
        for row, picture in enumerate((image, image, rest)):
            left, top = label + column * (cell + 0.1), head + row * (cell + 0.1)
            placed = figure.add_image(left, top, cell, cell, scale.to_rgb(picture))
            placed.frame()
            different = (image != rest).any(axis=-1)
            if row == 1 and different.any():
                placed.outline(different, YELLOW)
            if row == 0:
                placed.write_above(fit_text(str(name), cell, 9.5), 9.5)
            if column == 0:
                placed.write_beside(("original", "changed", "remaining")[row], 9.5)
    return figure
