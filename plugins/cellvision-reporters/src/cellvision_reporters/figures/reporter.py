"""Base class of reporters that draw: resolution, file format, and one figure per split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from cellvision import Artifact, Reporter
from cellvision_reporters.figures.file_names import file_names

if TYPE_CHECKING:
    from cellvision import Run, Study

MOST_EXPERIMENTS = 12
"""Most experiments of a study for which figures of a single run are drawn."""


class FigureReporter(Reporter):
    """A reporter that draws figures."""

    dpi: Annotated[int, Field(ge=50, le=1200)] = 150
    """Resolution in pixels per inch."""

    format: Literal["png", "pdf", "svg"] = "png"
    """File format."""

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return f".{self.format}"


class RunSplit(NamedTuple):
    """One split of one run, with the names to show it under."""

    run: Run
    """The run."""

    split: str
    """The split."""

    title: str
    """The split, preceded by the experiment if a study has several."""

    note: str
    """A sentence that says which run of a study it is; empty for a single run."""


class SplitFigureReporter(FigureReporter):
    """Draws one figure for each split of a run; for a study, of each experiment's first run."""

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits to draw."""
        raise NotImplementedError

    def draw(self, target: RunSplit, path: Path) -> Sequence[Artifact]:
        """Draw one split.

        Parameters
        ----------
        target
            The run and split.
        path
            File to write, with the suffix of the file format.
        """
        raise NotImplementedError

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Draw a figure for each split."""
        targets = [RunSplit(run, split, split, "") for split in self.splits(run)]
        return list(self._draw_all(targets, folder))

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Draw the first run of each experiment, which is not chosen by its result."""
        several = len(study.experiments) > 1
        shown = [each for each in study.experiments if each.runs][:MOST_EXPERIMENTS]
        targets = [
            RunSplit(
                experiment.runs[0],
                split,
                f"{experiment.name}, {split}" if several else split,
                f"The first of {len(experiment.runs)} runs, not chosen by its result.",
            )
            for experiment in shown
            for split in self.splits(experiment.runs[0])
        ]
        return list(self._draw_all(targets, folder))

    def _draw_all(self, targets: Sequence[RunSplit], folder: Path) -> Iterator[Artifact]:
        prefix = type(self).registry.name_of(type(self))
        files = file_names(prefix, [target.title for target in targets], self.suffix)
        for target in targets:
            for artifact in self.draw(target, folder / files[target.title]):
                caption = f"{artifact.caption} {target.note}".strip()
                yield replace(artifact, caption=caption)
