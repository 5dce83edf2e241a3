"""Reporter ``sheet``: a contact sheet of the images, by class and split, before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cellvision import Artifact, errors
from cellvision_reporters.figures.display import DisplayRange, thumbnail
from cellvision_reporters.figures.figure import (
    CaptionedFigure,
    fit_text,
    text_height,
    text_width,
)
from cellvision_reporters.figures.grid import image_ratio
from cellvision_reporters.figures.phrasing import plural
from cellvision_reporters.figures.reporter import Composed, FigureReporter
from cellvision_reporters.figures.scale_bar import ScaleBar, audit_scale_bar
from cellvision_reporters.figures.selection import balanced_sample

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study
    from cellvision.results.audits import AuditReport

View = Literal["acquired", "network"]

_TITLES: dict[View, str] = {
    "acquired": "Images as acquired",
    "network": "Images as the network will see them",
}
_MOST_ROWS = 24
"""Most rows; of more classes, the first ones are shown."""

_CELL, _GAP = 1.15, 0.1
_FONT, _SMALL = 9.5, 7.5
_WIDEST_LABEL = 1.6


@dataclass(frozen=True, eq=False)
class _Row:
    """The images of one class and split."""

    split: str
    label: str
    count: int
    images: list[str]


class Sheet(FigureReporter):
    """Images of each class and split, as acquired and as the network will see them.

    The selection depends on nothing but the names of the images. All images share one display
    range, so that a dim image looks dim.
    """

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1, le=24)] = 6
    """Most images of each class and split."""

    split: str | None = None
    """The split to show. None: all of them."""

    view: View = "acquired"
    """What the figure of a notebook shows: ``"acquired"``, as the files hold the images, or
    ``"network"``, as the network will see them, before augmentation. Files show both."""

    def audit(self, report: AuditReport, folder: Path) -> Sequence[Artifact]:
        """Draw both sheets; nothing if no image can be read."""
        artifacts = []
        views: tuple[View, ...] = ("acquired", "network")
        for number, view in enumerate(views):
            composed = self._compose(report.audit, view)
            if composed is not None:
                path = composed.figure.save(folder / f"sheet_{view}{self.suffix}", self.dpi)
                order = 10 * (number + 1)
                artifacts.append(
                    Artifact(path, _TITLES[view], "figure", composed.caption, order=order)
                )
        return artifacts

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw the sheet of an audit."""
        from cellvision import Audit

        if not isinstance(results, Audit):
            return super().figure(results)
        return self.finished(self._compose(results, self.view), results)

    def _compose(self, audit: Audit, view: View) -> Composed | None:
        rows = list(self._rows(audit))
        if not rows:
            return None
        names = [name for row in rows for name in row.images]
        if view == "network":
            inputs = audit.images.network_input(names)
            if inputs is None:
                return None
            pixels = dict(zip(names, list(inputs), strict=True))
            below = {}
        else:
            read = (thumbnail(image, side=96) for image in audit.images.read(names))
            pixels = dict(zip(names, read, strict=True))
            below = _ranges(audit, set(names))
        bar = audit_scale_bar(audit, names) if view == "acquired" else None
        scales = _display_ranges(audit, list(pixels.values()), view)
        caption = f"{_selection(audit, rows)} {_explanation(audit, view)}"
        lines = dict.fromkeys(scale.describe() for scale in scales.values())
        captions = [caption, *lines, bar.describe() if bar else ""]
        figure = _draw(audit, rows, pixels, below, scales, captions, view, bar)
        return Composed(figure, caption)

    def _rows(self, audit: Audit) -> Iterator[_Row]:
        splits = audit.images.splits
        if self.split is not None and self.split not in splits:
            raise errors.ExperimentError(
                f"there is no split {self.split!r}", f"Choose one of {', '.join(splits)}"
            )
        shown = splits[:_MOST_ROWS] if self.split is None else (self.split,)
        classes = audit.class_names[: max(_MOST_ROWS // max(len(shown), 1), 1)]
        table = audit.images.table
        for split in shown:
            for label in classes:
                rows = table[(table["split"] == split) & (table["label"] == label)]
                if len(rows):
                    images = list(balanced_sample(rows, self.images)["image"])
                    yield _Row(split, label, len(rows), images)


def _ranges(audit: Audit, names: set[str]) -> dict[str, str]:
    """Return the intensities of images to write below them, and their sizes if these differ."""
    shown = [file for file in audit.files if file.file in names and file.shape is not None]
    sizes = {file.file: "{} × {}".format(*(file.shape or ())[:2]) for file in shown}
    differ = len(set(sizes.values())) > 1
    return {
        file.file: f"{file.low:g} to {file.high:g}" + (f"\n{sizes[file.file]}" if differ else "")
        for file in shown
    }


def _display_ranges(
    audit: Audit, images: Sequence[np.ndarray], view: View
) -> dict[int, DisplayRange]:
    """Return a display range for each number of channels, so that colour images keep theirs."""
    channels = audit.images.preprocessing.channels
    listed = None if isinstance(channels, str) or view == "acquired" else channels
    known = audit.images.intensity_range
    per_image = audit.images.preprocessing.intensity == "per_image"
    zero, one = (0.0, None) if known is None or per_image else known
    if view == "network":
        zero, one = 0.0, 1.0
    depths = sorted({image.shape[-1] for image in images})
    return {
        depth: DisplayRange.from_images(
            [image for image in images if image.shape[-1] == depth],
            one,
            zero,
            listed,
            is_colour=isinstance(channels, str) and depth == 3,
        )
        for depth in depths
    }


def _selection(audit: Audit, rows: Sequence[_Row]) -> str:
    shown = sum(len(row.images) for row in rows)
    text = f"{shown} of {len(audit.images.table)} images, selected by their names alone."
    classes = len({row.label for row in rows})
    if classes < len(audit.class_names):
        text += f" The first {classes} of {len(audit.class_names)} classes."
    return text


def _explanation(audit: Audit, view: View) -> str:
    if view == "acquired":
        shapes = {file.shape for file in audit.files if file.shape is not None}
        text = "Below each image: its lowest and highest intensity"
        if len(shapes) > 1:
            return f"{text}; height × width in pixels."
        height, width, channels = next(iter(shapes))
        return f"{text}. All have {height} × {width} pixels, {plural(channels, 'channel')}."
    preprocessing = audit.images.preprocessing
    height, width = preprocessing.size
    text = (
        f"{height} × {width} pixels ({preprocessing.fit}), "
        f"{plural(preprocessing.depth, 'channel')}; before augmentation."
    )
    if preprocessing.intensity == "per_image":
        return f"{text} Each image is scaled to its own range, so absolute intensity is lost."
    assert audit.images.intensity_range is not None
    zero, one = audit.images.intensity_range
    return f"{text} Intensity {zero:g} to {one:g} becomes 0 to 1."


def _draw(
    audit: Audit,
    rows: Sequence[_Row],
    pixels: dict[str, np.ndarray],
    below: dict[str, str],
    scales: dict[int, DisplayRange],
    captions: Sequence[str],
    view: View,
    bar: ScaleBar | None,
) -> CaptionedFigure:
    ratio = min(max(image_ratio(list(pixels.values())), 0.4), 1.6)
    columns = max(len(row.images) for row in rows)
    label_width = max(text_width(row.label, _FONT, "bold") for row in rows) + 0.05
    label_width = min(max(label_width, text_width("n = 0000", _FONT)), _WIDEST_LABEL)
    lines = max((text.count("\n") + 1 for text in below.values()), default=0)
    foot = text_height(lines, _SMALL) + 0.04 if lines else 0.0
    step = _CELL * ratio + foot + _GAP
    head = text_height(1, 11.0) + 0.12
    splits = list(dict.fromkeys(row.split for row in rows))
    height = len(rows) * step + len(splits) * head + 0.05
    width = max(label_width + 0.25 + columns * (_CELL + _GAP), 4.6)
    figure = CaptionedFigure(audit, width, height, _TITLES[view], captions)
    top, split = 0.0, ""
    for row in rows:
        if row.split != split:
            split = row.split
            total = sum(audit.counts.get(split, {}).values())
            text = fit_text(f"{split}: {plural(total, 'image')}", width - 0.3, 11.0, 1, "bold")
            figure.write(0.12, top, head, text, fontsize=11, weight="bold")
            top += head
        label = fit_text(row.label, label_width, _FONT, 2, "bold")
        text = f"{label}\nn = {row.count}"
        figure.write(0.12, top, _CELL * ratio, text, fontsize=_FONT)
        for column, name in enumerate(row.images):
            left = 0.12 + label_width + 0.1 + column * (_CELL + _GAP)
            image = pixels[name]
            picture = scales[image.shape[-1]].to_rgb(image)
            placed = figure.add_image(left, top, _CELL, _CELL * ratio, picture)
            placed.frame()
            if bar is not None:
                bar.draw(placed, name)
            if name in below:
                texts = (fit_text(line, _CELL, _SMALL) for line in below[name].split("\n"))
                placed.write_below("\n".join(texts), _SMALL, gap=2)
        top += step
    return figure
