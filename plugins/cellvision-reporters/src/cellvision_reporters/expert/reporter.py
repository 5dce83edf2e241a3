"""The reporter ``expert``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from cellvision import Artifact, errors, io
from cellvision_reporters.expert.answers import read_answers
from cellvision_reporters.expert.comparison import (
    ComparedImages,
    Declared,
    compare_all,
    rater_agreement,
)
from cellvision_reporters.expert.figures import draw_comparisons, draw_disagreements
from cellvision_reporters.expert.record import FILE_NAME, ExpertRecord
from cellvision_reporters.expert.text import declaration, expert_text
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.reporter import FigureReporter

if TYPE_CHECKING:
    from cellvision import Run, Study


class Expert(FigureReporter):
    """Network against expert: accuracies, their difference, and the images they disagree on.

    The answers come from ``cellvision label``. Only images that both judged are compared; if the
    expert saw an image twice, the first answer counts. Declare in the experiment what is
    compared, before anybody knows the results; the report says whether it was declared.
    """

    runs_first: ClassVar[bool] = True

    answers: Path
    """Table of answers, written by ``cellvision label FILE --export``."""

    rater: str | None = None
    """Name of the rater. None: every rater, one at a time."""

    declared: Declared = "run"
    """What is compared: ``"run"``, one network (the first run of a study); ``"mean"``, the mean
    accuracy over all runs of a study. If the study is cross-validated, both are of out-of-fold
    predictions."""

    images: Annotated[int, Field(ge=0, le=100)] = 12
    """Most images to show that the two disagree on."""

    @field_validator("answers")
    @classmethod
    def _absolute(cls, answers: Path) -> Path:
        """Make the path absolute: the report may be repeated from another directory."""
        return answers.expanduser().absolute()

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Compare a run: write ``expert.md``, ``expert.json`` and the figures."""
        if self.declared == "mean":
            raise errors.InvalidInput(
                "declared = 'mean' needs a study, and this is a single run",
                "Use cellvision study, or declare 'run'",
            )
        return list(self._report(run, {"": (run,)}, run.metadata.experiment, folder))

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Compare the experiments of a study; see `run`."""
        experiments = {
            each.name: each.runs if self.declared == "mean" else (each.example,)
            for each in study.experiments
            if each.runs
        }
        return list(
            self._report(study, experiments, study.experiments[0].record.experiment, folder)
        )

    def _report(
        self,
        results: Run | Study,
        experiments: Mapping[str, Sequence[Run]],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> Iterator[Artifact]:
        table = read_answers(self.answers, self.rater)
        answers = {str(name): rows for name, rows in table.groupby("rater", sort=False)}
        comparisons = compare_all(experiments, answers, self.declared)
        if not comparisons:
            raise errors.InvalidInput(
                f"{self.answers}: no image is in a test set of {results.folder}",
                "Label the test images of this experiment: cellvision label",
            )
        record = ExpertRecord(
            answers=str(self.answers),
            rater=self.rater,
            declared=self.declared,
            declared_beforehand=self._is_declared(settings),
            comparisons=tuple(each.record for each in comparisons),
            agreement=tuple(rater_agreement(answers, next(iter(experiments.values()))[0])),
        )
        statements = " ".join(record.statement(each.record) for each in comparisons)
        figure = draw_comparisons(results, record.comparisons, declaration(record))
        path = figure.save(folder / f"expert{self.suffix}", self.dpi)
        yield Artifact(path, "Network and expert", "figure", statements, order=30)
        yield from self._draw_disagreements(results, experiments, comparisons, folder)
        path = io.write_text(folder / "expert.md", expert_text(results, record))
        yield Artifact(path, "Network and expert, in full", "data", order=900)
        path = io.write_text(folder / FILE_NAME, record.to_json())
        yield Artifact(path, "Network and expert, for programs", "data", order=900)

    def _draw_disagreements(
        self,
        results: Run | Study,
        experiments: Mapping[str, Sequence[Run]],
        comparisons: Sequence[ComparedImages],
        folder: Path,
    ) -> Iterator[Artifact]:
        titles = [each.record.title for each in comparisons]
        files = file_names("expert_images", titles, self.suffix)
        for each in comparisons:
            rows = each.disagreements()
            if rows.empty or not self.images:
                continue
            run = experiments[each.record.experiment][0]
            figure = draw_disagreements(results, run, each, rows.head(self.images))
            yield Artifact(
                figure.save(folder / files[each.record.title], self.dpi),
                f"Disagreements of network and expert: {each.record.title}",
                "figure",
                f"{min(len(rows), self.images)} of {len(rows)} images that the two assign to "
                "different classes.",
                order=150,
            )

    def _is_declared(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the experiment names this comparison."""
        return any(
            str(reporter.get("type", "")).rpartition(":")[2] == "expert"
            and reporter.get("declared") == self.declared
            and reporter.get("rater") == self.rater
            for reporter in settings.get("reporters") or ()
        )
