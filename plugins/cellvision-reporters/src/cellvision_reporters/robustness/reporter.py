"""The reporter ``robustness``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cellvision import Artifact
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.reporter import FigureReporter
from cellvision_reporters.figures.selection import balanced_sample, shown_splits
from cellvision_reporters.figures.tables import write_csv
from cellvision_reporters.robustness import perturbations
from cellvision_reporters.robustness.curve_figure import draw_run, draw_study
from cellvision_reporters.robustness.evaluation import ATTACKS, Evaluation
from cellvision_reporters.robustness.flip_figure import draw_flips
from cellvision_reporters.robustness.flips import examples, flip_table
from cellvision_reporters.robustness.perturbations import FRACTION_OF_RANGE, Perturbation

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Probe, Run, Study

Positive = Annotated[float, Field(gt=0)]
Strengths = tuple[Positive, ...]


class Robustness(FigureReporter):
    """Accuracy under small perturbations that should not matter, and under attacks.

    Each field holds the strengths of one perturbation, the mildest first; an empty one leaves it
    out. For each split: a figure and a table of accuracies with their 95 % intervals, and the
    images whose answer flips, as a figure and a table. For a study: the mean over runs and their
    range, on the same images.
    """

    enabled_by_default: ClassVar[bool] = False

    images: Annotated[int, Field(ge=1)] = 100
    """Most images per split, the same number from each class."""

    split: str | None = None
    """The split to use. None: every test set, or the validation split if there is none."""

    rotation: Strengths = (5, 10, 20, 45)
    """Degrees, clockwise or counterclockwise."""

    shift: Strengths = (0.02, 0.05, 0.1, 0.2)
    """Fractions of the shorter side of an image, in any direction; reported in pixels."""

    darker: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.9, 0.8, 0.6, 0.4)
    """Factors of all intensities, as of a shorter exposure."""

    brighter: tuple[Annotated[float, Field(gt=1)], ...] = (1.1, 1.25, 1.6, 2.5)
    """Factors of all intensities, as of a longer exposure; saturated at the full range."""

    blur: Strengths = (0.5, 1, 2, 4)
    """SD of a Gaussian in pixels, as the network sees them."""

    noise: Strengths = (0.01, 0.02, 0.05, 0.1)
    """SD of Gaussian noise, as a fraction of the intensity range that the images use."""

    jpeg: tuple[Annotated[int, Field(ge=1, le=100)], ...] = (90, 70, 40, 10)
    """JPEG quality."""

    attack: Strengths = (0.003, 0.01, 0.03, 0.1)
    """Largest change of an intensity by attacks, as a fraction of the range that the images
    use."""

    attack_steps: Annotated[int, Field(ge=1)] = 10
    """Steps of the projected gradient."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of everything random: directions, noise, and starting points of attacks."""

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Perturb images of each split, and draw the accuracy and the flips."""
        probe = run.probe()
        splits = shown_splits(run, self.split)
        files = file_names("robustness", splits, self.suffix)
        flip_files = file_names("robustness_flips", splits, self.suffix)
        artifacts: list[Artifact] = []
        for split in splits:
            evaluation = self._evaluate(run, probe, split)
            figure = draw_run(run, split, evaluation.table, evaluation.limits)
            path = figure.save(folder / files[split], self.dpi)
            artifacts += _curve_artifacts(path, split, evaluation.table)
            artifacts += self._flip_artifacts(run, split, evaluation, folder / flip_files[split])
        return artifacts

    def _flip_artifacts(
        self, run: Run, split: str, evaluation: Evaluation, path: Path
    ) -> Iterator[Artifact]:
        table = write_csv(path.with_suffix(".csv"), flip_table(evaluation.flips), digits=6)
        yield Artifact(table, f"All flipped answers: {split}", "data", order=900)
        shown = examples(evaluation.flips, ATTACKS)
        if shown:
            figure = draw_flips(run, split, shown).save(path, self.dpi)
            title = f"Flipped answers: {split}"
            caption = f"{len(shown)} of {len(evaluation.flips)} flips, at the mildest strength."
            yield Artifact(figure, title, "figure", caption, order=450)

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Do the same for every run, and draw the mean over runs."""
        import pandas as pd

        tables: dict[str, list[pd.DataFrame]] = {}
        for experiment in study.experiments:
            for run in experiment.networks:
                probe = run.probe()
                for split in shown_splits(run, self.split):
                    table = self._evaluate(run, probe, split).table
                    names = {"experiment": experiment.name, "run": run.folder.name}
                    tables.setdefault(split, []).append(table.assign(**names))
        files = file_names("robustness", tables, self.suffix)
        artifacts: list[Artifact] = []
        for split, parts in tables.items():
            table = pd.concat(parts, ignore_index=True)
            path = draw_study(study, split, table).save(folder / files[split], self.dpi)
            artifacts += _curve_artifacts(path, split, table)
        return artifacts

    def _perturbations(self, height: int, width: int) -> list[Perturbation]:
        side = min(height, width)
        every = [
            Perturbation("rotation", "degrees", self.rotation, perturbations.rotate),
            Perturbation(
                "shift", "px", tuple(side * part for part in self.shift), perturbations.shift
            ),
            Perturbation("darker", "factor", self.darker, perturbations.scale_intensity),
            Perturbation("brighter", "factor", self.brighter, perturbations.scale_intensity),
            Perturbation("blur", "px", self.blur, perturbations.blur),
            Perturbation("noise", FRACTION_OF_RANGE, self.noise, perturbations.add_noise),
            Perturbation(
                "JPEG", "quality", tuple(map(float, self.jpeg)), perturbations.compress_jpeg
            ),
        ]
        return [each for each in every if each.strengths]

    def _evaluate(self, run: Run, probe: Probe, split: str) -> Evaluation:
        rows = run.predictions
        selected = balanced_sample(rows[rows["split"] == split], self.images)
        evaluation = Evaluation.from_run(run, probe, selected, self.seed)
        for perturbation in self._perturbations(*evaluation.images.shape[1:3]):
            evaluation.perturb(perturbation)
        for name in ATTACKS:
            evaluation.attack(name, self.attack, self.attack_steps)
        return evaluation


def _curve_artifacts(path: Path, split: str, table: pd.DataFrame) -> Iterator[Artifact]:
    n = int(table["n"].max())
    title = f"Accuracy on perturbed images: {split}"
    caption = f"n = {n} images, 95 % intervals."
    yield Artifact(path, title, "figure", caption, order=440)
    csv = write_csv(path.with_suffix(".csv"), table, digits=6)
    yield Artifact(csv, f"{title}, as a table", "data", order=900)
