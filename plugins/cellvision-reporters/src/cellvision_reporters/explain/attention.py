"""The reporter ``attention``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from cellvision import Artifact, io
from cellvision_reporters.explain.attribution import (
    MapSimilarity,
    completeness,
    integrated_gradients,
    occlusion,
    randomisation_check,
    smooth,
)
from cellvision_reporters.explain.embedding import embed
from cellvision_reporters.explain.figures import draw_maps
from cellvision_reporters.figures.figure import CaptionedFigure
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.reporter import FigureReporter
from cellvision_reporters.figures.selection import shown_splits, stratified_sample
from cellvision_reporters.figures.tables import write_csv

if TYPE_CHECKING:
    from cellvision import Probe, Run

_log = logging.getLogger(__name__)

_SIMILAR = 0.5
"""Mean rank correlation from which on a map has hardly changed though it should have."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The maps of some images, with the check that they depend on what was learned.

    Attributes
    ----------
    figure : CaptionedFigure
        The maps.
    numbers : dict
        Content of ``attention.json`` for one split.
    warning : str
        Empty if the maps depend on the trained weights.
    """

    figure: CaptionedFigure
    numbers: dict[str, Any]
    warning: str


class Attention(FigureReporter):
    """Where in an image the network finds evidence, and how its features arrange the images.

    Maps by integrated gradients and by occlusion, for any architecture. Beside them the map of
    the same network with random weights, which must differ. Then a map of the images by the
    features of the last layer but one, coloured by class and by group.
    """

    enabled_by_default: ClassVar[bool] = False

    images: Annotated[int, Field(ge=1, le=100)] = 6
    """Images to explain per split, with right and wrong answers in proportion."""

    split: str | None = None
    """The split to show. None: every test set, or the validation split if there is none."""

    steps: Annotated[int, Field(ge=2, le=1000)] = 32
    """Gradients per image on the path from a flat image."""

    patch: Annotated[float, Field(gt=0, lt=1)] = 0.125
    """Side of the occluding patch, as a fraction of the shorter side of an image."""

    points: Annotated[int, Field(ge=3)] = 500
    """Most images per split in the map of features, the same number from each class."""

    projection: Literal["pca", "umap"] = "pca"
    """How features become two axes: principal components, or UMAP (needs ``umap-learn``)."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the random weights and of UMAP."""

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Draw maps and features of each split; write the numbers to ``attention.json``."""
        probe = run.probe()
        splits = shown_splits(run, self.split)
        maps = file_names("attention", splits, self.suffix)
        embeddings = file_names("embedding", splits, self.suffix)
        numbers: dict[str, Any] = {}
        artifacts: list[Artifact] = []
        for split in splits:
            explanation = self._explain(run, probe, split)
            numbers[split] = explanation.numbers
            path = explanation.figure.save(folder / maps[split], self.dpi)
            title = f"What the network looks at: {split}"
            caption = explanation.warning or (
                f"{len(explanation.numbers['images'])} images. The map of the network with random "
                "weights differs, as it should."
            )
            artifacts.append(Artifact(path, title, "figure", caption, order=420))
            artifacts += self._embed(run, probe, split, folder / embeddings[split], numbers[split])
        if numbers:
            text = json.dumps(_without_nan(numbers), indent=2, ensure_ascii=False) + "\n"
            path = io.write_text(folder / "attention.json", text)
            artifacts.append(Artifact(path, "Numbers of the attention maps", "data", order=900))
        return artifacts

    def _embed(
        self, run: Run, probe: Probe, split: str, path: Path, numbers: dict[str, Any]
    ) -> Iterator[Artifact]:
        embedding = embed(run, probe, split, self.points, self.projection, self.seed)
        if embedding is None:
            return
        numbers["embedding"] = embedding.numbers()
        caption = " ".join(embedding.captions())
        figure = embedding.draw().save(path, self.dpi)
        yield Artifact(figure, f"Features of the network: {split}", "figure", caption, order=430)
        table = write_csv(path.with_suffix(".csv"), embedding.table, digits=6)
        yield Artifact(table, f"Positions in the map of features: {split}", "data", order=900)

    def _explain(self, run: Run, probe: Probe, split: str) -> Explanation:
        import numpy as np

        rows = run.predictions
        shown = stratified_sample(rows[rows["split"] == split], self.images)
        images = run.network_input(list(shown["image"]))
        classes = np.array([run.class_names.index(name) for name in shown["predicted"]])
        exact = integrated_gradients(probe, images, classes, self.steps)
        gradients = smooth(exact)
        occlusions, side = occlusion(probe, images, classes, self.patch)
        similarities, random = randomisation_check(
            probe, images, classes, gradients, self.steps, self.seed
        )
        warning = _warning(similarities)
        if warning:
            _log.warning("%s, %s: %s", run.folder, split, warning)
        captions = [
            "Orange: evidence for the network's answer; blue: evidence against it. Each map has "
            f"its own scale. Integrated gradients: {self.steps} steps from a flat image (the "
            "median of each channel), smoothed. Occlusion: drop of the log odds of the answer "
            f"when a patch of {side} × {side} pixels is covered.",
            _similarity_sentence(similarities),
            warning,
        ]
        maps = (gradients, occlusions, random)
        title = f"{split}: evidence for the network's answer"
        figure = draw_maps(run, title, shown, images, maps, captions)
        accuracy = completeness(probe, images, classes, exact)
        numbers = {
            "images": list(shown["image"]),
            "explained_class": list(shown["predicted"]),
            "completeness": accuracy,
            "patch_pixels": side,
            "check": _check_numbers(similarities),
            "warning": warning,
        }
        return Explanation(figure, numbers, warning)


def _check_numbers(similarities: Sequence[MapSimilarity]) -> list[dict[str, Any]]:
    return [
        {
            "layers_randomised": each.randomised,
            "layers": each.layers,
            "rank_correlation": each.signed,
            "rank_correlation_of_magnitudes": each.magnitude,
        }
        for each in similarities
    ]


def _similarity_sentence(similarities: Sequence[MapSimilarity]) -> str:
    if not similarities:
        return "The network has no weights to randomise."
    parts = ", ".join(
        f"{_rounded(each.mean_strength)} ({_rounded(each.mean_magnitude)}) with {each.randomised}"
        for each in similarities
    )
    return (
        "Check: layers with random weights, counted from the output, of "
        f"{similarities[0].layers}; mean absolute Spearman rank correlation with the map of the "
        f"trained network (in brackets: of the magnitudes of the maps): {parts}."
    )


def _rounded(value: float) -> str:
    return f"{value:.2f}" if value == value else "unknown"


def _warning(similarities: Sequence[MapSimilarity]) -> str:
    if not similarities or not similarities[-1].mean_strength >= _SIMILAR:
        return ""
    return (
        "WARNING: with random weights the map hardly changes (rank correlation "
        f"{similarities[-1].mean_strength:.2f}). It shows the image, not what the network has "
        "learned."
    )


def _without_nan(value: Any) -> Any:
    """Replace NaN by null, as JSON requires."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
