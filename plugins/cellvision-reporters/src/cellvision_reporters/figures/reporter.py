"""Base class of reporters that draw: resolution, file format, and one figure per split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from cellvision import Artifact, Reporter, errors
from cellvision_reporters.figures.file_names import file_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study
    from cellvision.results.study import StudyExperiment
    from cellvision_reporters.figures.figure import CaptionedFigure

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

    def finished(self, composed: Composed | None, results: Run | Study | Audit) -> Figure:
        """Return a composed figure for `figure`.

        Raises
        ------
        errors.ExperimentError
            There is nothing to draw.
        """
        if composed is None:
            raise errors.ExperimentError(
                f"{results!r}: the reporter {type(self).__name__} has nothing to draw of it",
                "Name another split or another reporter",
            )
        return composed.figure.finish()


class Composed(NamedTuple):
    """A figure that is not yet saved or shown."""

    figure: CaptionedFigure
    """The figure."""

    caption: str
    """The caption of its artifact."""


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


def example_note(experiment: StudyExperiment) -> str:
    """Say which run of an experiment a figure shows, and that it was not chosen by its result.

    Empty if there is one run.
    """
    runs = len(experiment.runs)
    if experiment.out_of_fold is None and runs == 1:
        return ""
    if experiment.out_of_fold is None:
        return f"The first of {runs} runs, not chosen by its result."
    mean = f", mean over {runs} seeds" if runs > 1 else ""
    return (
        f"Predictions of {experiment.record.folds} folds, each by networks that were not trained "
        f"on these images{mean}."
    )


class SplitFigureReporter(FigureReporter):
    """Draws one figure for each split of a run; for a study, of each experiment's first run.

    Of a cross-validated experiment, it draws the out-of-fold predictions, mean over seeds.
    """

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits to draw."""
        raise NotImplementedError

    def compose(self, target: RunSplit) -> Composed:
        """Compose the figure of one split."""
        raise NotImplementedError

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw the first split of a run, or of a study's first run."""
        from cellvision import Run, Study

        if isinstance(results, Run):
            targets = self._run_targets(results)
        elif isinstance(results, Study):
            targets = self._study_targets(results)
        else:
            return super().figure(results)
        return self.finished(self.compose(targets[0]) if targets else None, results)

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
        return list(self._draw_all(self._run_targets(run), folder))

    def _run_targets(self, run: Run) -> list[RunSplit]:
        return [RunSplit(run, split, split, "") for split in self.splits(run)]

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Draw the first run of each experiment, which is not chosen by its result."""
        return list(self._draw_all(self._study_targets(study), folder))

    def _study_targets(self, study: Study) -> list[RunSplit]:
        several = len(study.experiments) > 1
        shown = [each for each in study.experiments if each.runs][:MOST_EXPERIMENTS]
        return [
            RunSplit(
                experiment.example,
                split,
                f"{experiment.name}, {split}" if several else split,
                example_note(experiment),
            )
            for experiment in shown
            for split in self.splits(experiment.example)
        ]

    def _draw_all(self, targets: Sequence[RunSplit], folder: Path) -> Iterator[Artifact]:
        prefix = type(self).registry.name_of(type(self))
        files = file_names(prefix, [target.title for target in targets], self.suffix)
        for target in targets:
            for artifact in self.draw(target, folder / files[target.title]):
                caption = f"{artifact.caption} {target.note}".strip()
                yield replace(artifact, caption=caption)
