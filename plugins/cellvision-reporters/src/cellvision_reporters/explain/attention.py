"""What the network looks at, and whether that picture can be trusted."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from cellvision import atomic_io
from cellvision_reporters.explain.attribution import (
    Likeness,
    completeness,
    forgetting,
    integrated_gradients,
    occlusion,
    smoothed,
)
from cellvision_reporters.explain.embedding import embed
from cellvision_reporters.figures.colours import RIGHT, WRONG
from cellvision_reporters.figures.display import stretch_of
from cellvision_reporters.figures.figure import Sheet, fitted, height_of
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.selection import splits_shown, true_to_accuracy
from cellvision_reporters.figures.settings import Picture

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Probe, Run

_log = logging.getLogger(__name__)

_ALIKE = 0.5
"""From this mean rank correlation on, a map that should have changed has hardly done so."""

_CELL, _GAP, _TEXT, _FONT = 1.5, 0.1, 1.5, 9.5
_COLUMNS = (
    "as the network sees it",
    "integrated gradients",
    "occlusion",
    "check: gradients, weights redrawn",
)


class Attention(Picture):
    """What speaks for the network's answer, where; and how its features arrange the images.

    Maps by integrated gradients and by occlusion, for any architecture, and beside them the map
    of the same network with its weights drawn anew, which must be another one. Then a map of
    the images by the features of the last layer but one, coloured by class and by unit.
    """

    enabled_by_default: ClassVar[bool] = False

    images: Annotated[int, Field(ge=1, le=100)] = 6
    """How many images of each split are explained, with right and wrong answers in proportion."""

    split: str | None = None
    """The split to show. None: every test set; the validation split where there is none."""

    steps: Annotated[int, Field(ge=2, le=1000)] = 32
    """How many gradients an image are taken on the way from a flat image."""

    patch: Annotated[float, Field(gt=0, lt=1)] = 0.125
    """Side of the patch that is covered, over the shorter side of an image."""

    points: Annotated[int, Field(ge=3)] = 500
    """How many images of each split the map of features holds at most, evenly over classes."""

    projection: Literal["pca", "umap"] = "pca"
    """How features become two axes: principal components, or UMAP (needs ``umap-learn``)."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the weights drawn anew, and of UMAP."""

    def files(self, run: Run) -> dict[str, str]:
        """The file name of each split's maps."""
        every = file_names("attention", run.scores, self.suffix)
        return {split: every[split] for split in splits_shown(run, self.split)}

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Draw the maps and the arrangement of each split; numbers go to ``attention.json``."""
        probe = run.probe()
        made: list[Path] = []
        numbers: dict[str, Any] = {}
        embedded = file_names("embedding", run.scores, self.suffix)
        for split, file in self.files(run).items():
            sheet, told = self._explained(run, probe, split)
            made.append(sheet.save(folder / file, self.dpi))
            numbers[split] = told
            rows = run.predictions[run.predictions["split"] == split]
            arranged = embed(run, probe, split, rows, self.points, self.projection, self.seed)
            if arranged is not None:
                target = folder / embedded[split]
                made.append(arranged.sheet().save(target, self.dpi))
                made.append(_table(arranged.table, target.with_suffix(".csv")))
                numbers[split]["embedding"] = arranged.numbers()
        if numbers:
            made.append(atomic_io.text(folder / "attention.json", _json(numbers)))
        return made

    def _explained(self, run: Run, probe: Probe, split: str) -> tuple[Sheet, dict[str, Any]]:
        import numpy as np

        rows = run.predictions[run.predictions["split"] == split]
        shown = true_to_accuracy(rows, self.images)
        images = run.network_input(list(shown["image"]))
        classes = np.array([run.class_names.index(name) for name in shown["predicted"]])
        exact = integrated_gradients(probe, images, classes, self.steps)
        gradients = smoothed(exact)
        covered, side = occlusion(probe, images, classes, self.patch)
        likeness, forgotten = forgetting(probe, images, classes, gradients, self.steps, self.seed)
        warning = _warning(likeness)
        if warning:
            _log.warning("%s, %s: %s", run.folder, split, warning)
        captions = [
            "Orange speaks for the network's answer, blue against it; each map is scaled by "
            f"itself. Integrated gradients: {self.steps} steps from a flat image (the median of "
            "each channel), smoothed. Occlusion: how far the log odds of the answer fall when a "
            f"patch of {side} × {side} pixels is covered.",
            _sentence(likeness),
            warning,
        ]
        maps = (gradients, covered, forgotten)
        sheet = _draw(run, f"{split}: what speaks for the answer", shown, images, maps, captions)
        return sheet, {
            "images": list(shown["image"]),
            "explained_class": list(shown["predicted"]),
            "completeness": completeness(probe, images, classes, exact),
            "patch_pixels": side,
            "check": [
                {
                    "layers_redrawn": step.layers,
                    "layers": step.of,
                    "rank_correlation": step.signed,
                    "rank_correlation_of_magnitudes": step.magnitude,
                }
                for step in likeness
            ],
            "warning": warning,
        }


def _sentence(likeness: Sequence[Likeness]) -> str:
    if not likeness:
        return "The network has no weights to redraw."
    told = ", ".join(
        f"{_signed(step.strength)} ({_signed(step.magnitude_mean)}) with {step.layers}"
        for step in likeness
    )
    return (
        f"Check: layers drawn anew from the output inwards, of {likeness[0].of}; mean size of "
        f"Spearman's rank correlation with the trained network's map (in brackets: of the maps' "
        f"magnitudes): {told}."
    )


def _signed(value: float) -> str:
    return f"{value:.2f}" if value == value else "unknown"


def _warning(likeness: Sequence[Likeness]) -> str:
    if not likeness or not likeness[-1].strength >= _ALIKE:
        return ""
    return (
        f"MIND: with all weights drawn anew the map hardly changes (rank correlation "
        f"{likeness[-1].strength:.2f}). It shows the image, not what the network has learned."
    )


def _draw(
    run: Run,
    title: str,
    shown: pd.DataFrame,
    images: np.ndarray,
    maps: Sequence[np.ndarray],
    captions: Sequence[str],
) -> Sheet:
    ratio = min(max(images.shape[1] / images.shape[2], 0.3), 2.5)
    heads = [fitted(head, _CELL, _FONT, 3, "bold") for head in _COLUMNS]
    top = height_of(max(head.count("\n") for head in heads) + 1, _FONT) + 0.08
    step = _CELL * ratio + _GAP
    width = _TEXT + len(_COLUMNS) * (_CELL + _GAP) + 2 * _GAP
    sheet = Sheet(
        run, width, top + len(images) * step + 0.05, title, [line for line in captions if line]
    )
    stretch = stretch_of(run, images)
    for row, image in enumerate(images):
        picture = stretch.rgb(image)
        cells = [picture, *(overlay(picture, found[row]) for found in maps)]
        for column, cell in enumerate(cells):
            left = _TEXT + _GAP + column * (_CELL + _GAP)
            axes = sheet.axes(left, top + row * step, _CELL, _CELL * ratio)
            axes.set(xticks=[], yticks=[])
            axes.imshow(cell, interpolation="nearest" if len(image) < 100 else "antialiased")
            if row == 0:
                axes.set_title(heads[column], fontsize=_FONT, weight="bold", pad=4)
            if column == 0:
                _tell(axes, shown.iloc[row])
    return sheet


def _tell(axes: Any, row: pd.Series[Any]) -> None:
    """Write the answer and the true class left of an image."""
    right = row["label"] == row["predicted"]
    confidence = float(row["p_" + row["predicted"]])
    percent = f"{100 * confidence:.0f}\N{NO-BREAK SPACE}%"
    mark, colour = ("✓", RIGHT) if right else ("✗", WRONG)
    answer = fitted(f"{mark} {row['predicted']} {percent}", _TEXT - 0.1, _FONT, 2, "bold")
    truth = fitted(f"true: {row['label']}", _TEXT - 0.1, _FONT, 2)
    style = {"textcoords": "offset points", "ha": "right", "annotation_clip": False}
    place = {"xy": (0, 0.5), "xycoords": "axes fraction", "fontsize": _FONT}
    axes.annotate(
        answer, xytext=(-6, 3), va="bottom", color=colour, weight="bold", **place, **style
    )
    axes.annotate(truth, xytext=(-6, -3), va="top", **place, **style)


def overlay(picture: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Lay a map over a picture: orange where it is positive, blue where it is negative."""
    import numpy as np

    grey = picture.mean(axis=-1, keepdims=True) * 0.6 + 0.2
    largest = np.percentile(np.abs(found), 99.5)
    weight = np.clip(np.abs(found) / largest, 0, 1)[..., None] if largest > 0 else 0.0 * grey
    colour = np.where(found[..., None] > 0, (1.0, 0.6, 0.0), (0.15, 0.45, 1.0))
    laid: np.ndarray = grey * (1 - 0.85 * weight) + colour * 0.85 * weight
    return laid


def _table(table: pd.DataFrame, target: Path) -> Path:
    with atomic_io.path(target) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    return target


def _json(numbers: dict[str, Any]) -> str:
    return json.dumps(_finite(numbers), indent=2, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    """Numbers that are none become null, as any reader of JSON expects."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value != value else value
