"""Reporter ``intensities``: histograms of intensity by class, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from cellvision import Artifact
from cellvision_reporters.figures.axes import style_axes
from cellvision_reporters.figures.colours import GREY, SERIES
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_height
from cellvision_reporters.figures.phrasing import plural
from cellvision_reporters.figures.reporter import Composed, FigureReporter
from cellvision_reporters.figures.selection import balanced_sample

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study
    from cellvision.results.audits import AuditReport

_MOST_CLASSES = 12
_MOST_CHANNELS = 4
_MOST_IMAGES = 240
_SAMPLES = 4096
"""Pixels of each image that are counted, evenly spread."""

_BINS = 96
_LEFT, _RIGHT, _HEIGHT = 0.95, 0.15, 2.9
_LINES = ("-", "--", ":")


class Intensities(FigureReporter):
    """Histograms of intensity by class and channel, of images as acquired.

    Where the histograms of classes differ, a network may tell the classes by brightness alone.
    """

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1)] = 20
    """Images of each class that are counted; at most 240 of all classes."""

    def audit(self, report: AuditReport, folder: Path) -> Sequence[Artifact]:
        """Draw the histograms; nothing if no image can be read."""
        composed = self._compose(report.audit)
        if composed is None:
            return []
        path = composed.figure.save(folder / f"intensities{self.suffix}", self.dpi)
        title = "Histograms of intensity by class"
        return [Artifact(path, title, "figure", composed.caption, order=110)]

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw the histograms of an audit."""
        from cellvision import Audit

        if not isinstance(results, Audit):
            return super().figure(results)
        return self.finished(self._compose(results), results)

    def _compose(self, audit: Audit) -> Composed | None:
        import numpy as np

        table = audit.images.table
        classes = audit.class_names[:_MOST_CLASSES]
        table = table[table["label"].isin(classes)]
        if table.empty:
            return None
        selected = balanced_sample(table, min(self.images * len(classes), _MOST_IMAGES))
        samples: dict[str, list[np.ndarray]] = {}
        read = audit.images.read(list(selected["image"]))
        for label, image in zip(selected["label"], read, strict=True):
            samples.setdefault(label, []).append(_sample(image))
        channels = min(array.shape[1] for arrays in samples.values() for array in arrays)
        channels = min(channels, _MOST_CHANNELS)
        values = {
            label: np.concatenate([array[:, :channels] for array in arrays])
            for label, arrays in samples.items()
        }
        omitted = len(audit.class_names) - len(classes)
        caption = (
            f"Fraction of pixels at each intensity, in {plural(len(selected), 'image')} of all "
            "splits, the same number from each class; the vertical axis is logarithmic."
            + (f" The first {len(classes)} of {len(audit.class_names)} classes." if omitted else "")
        )
        return Composed(_draw(audit, values, channels, caption), caption)


def _sample(image: np.ndarray) -> np.ndarray:
    """Return some pixels of an image, shape (pixels, channels), evenly spread."""
    import numpy as np

    flat = image.reshape(-1, image.shape[-1])
    # A step that is no divisor of the width samples all columns.
    step = max(len(flat) // _SAMPLES, 1)
    step += step > 1 and image.shape[1] % step == 0
    return np.asarray(flat[::step], dtype=np.float64)


def _draw(
    audit: Audit, values: dict[str, np.ndarray], channels: int, caption: str
) -> CaptionedFigure:
    import numpy as np

    low = min(float(array.min()) for array in values.values())
    high = max(float(array.max()) for array in values.values())
    bins = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    known = audit.images.intensity_range
    if known is not None:
        caption += " Dotted lines: intensities that the network will see as 0 and 1."
    columns = 2 if channels == 1 else 4
    legend = text_height(-(-len(values) // columns), 9.5) + 0.2
    width = 5.4 if channels == 1 else 9.4
    title = "Intensity by class, as acquired"
    figure = CaptionedFigure(audit, width, _HEIGHT + 0.75 + legend, title, [caption])
    side = (width - _LEFT - _RIGHT * channels) / channels
    bottom = min(0.5 / len(array) for array in values.values())
    for channel in range(channels):
        axes = figure.add_axes(_LEFT + channel * (side + _RIGHT), 0.1, side, _HEIGHT)
        for number, (label, array) in enumerate(values.items()):
            counts, _ = np.histogram(array[:, channel], bins)
            axes.stairs(
                counts / len(array),
                bins,
                color=SERIES[number % len(SERIES)],
                linestyle=_LINES[number // len(SERIES) % len(_LINES)],
                linewidth=1.6,
                # A label that begins with "_" would be missing from the legend.
                label=f"\N{ZERO WIDTH SPACE}{label}",
            )
        _style(axes, channel if channels > 1 else None, known, bins)
        axes.set_ylim(bottom, 1.5)
        if channel:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("Fraction of pixels", fontsize=10)
    handles, _ = axes.get_legend_handles_labels()
    names = [fit_text(name, width / columns - 0.75, 9.0) for name in values]
    below = figure.add_axes(_LEFT, _HEIGHT + 0.65, width - _LEFT - 0.1, legend)
    below.axis("off")
    style = {"loc": "upper left", "borderaxespad": 0, "frameon": False, "fontsize": 9}
    below.legend(handles, names, ncols=columns, **style)
    return figure


def _style(
    axes: Any, channel: int | None, known: tuple[float, float] | None, bins: np.ndarray
) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlabel(
        "Intensity" if channel is None else f"Intensity, channel {channel}", fontsize=10
    )
    style_axes(axes, 9)
    margin = 0.02 * (bins[-1] - bins[0])
    low, high = float(bins[0]) - margin, float(bins[-1]) + margin
    for edge in known or ():
        if low <= edge <= high:
            axes.axvline(edge, color=GREY, linestyle=":", linewidth=1.6)
    axes.set_xlim(low, high)
