"""The reporter ``html``: composes what other reporters wrote into one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, Reporter
from cellvision_reporters.figures.banners import control_banner, group_note, leak_banner
from cellvision_reporters.figures.class_warnings import never_predicted
from cellvision_reporters.figures.phrasing import plural
from cellvision_reporters.page.answer import Answer, run_answers, study_answers
from cellvision_reporters.page.audit import audit_page
from cellvision_reporters.page.content import (
    FileLink,
    Section,
    file_links,
    item_of,
    lead_picture,
    sections,
)
from cellvision_reporters.page.details import (
    Detail,
    failed_during_trainings,
    failed_reporters,
    reporter_settings,
    run_details,
    study_details,
)
from cellvision_reporters.page.methods import evaluation_methods, run_methods, study_methods
from cellvision_reporters.page.template import FILE_NAME, render, write_page

if TYPE_CHECKING:
    from cellvision import Run, Study
    from cellvision.results.audits import AuditReport


_TABLES = {
    "out_of_fold.csv": "Out-of-fold predictions of every image",
    "groups.csv": "Answers for groups",
}
"""Tables of a study that not every study has."""


class Html(Reporter):
    """One page about the results: self-contained HTML for screen, phone and paper.

    It shows the artifacts of all reporters that ran, built-in and third-party alike, in their
    order. It draws nothing itself.
    """

    enabled_by_default: ClassVar[bool] = True
    runs_last: ClassVar[bool] = True

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Write ``report.html``."""
        from cellvision import Evaluation

        page = _render(
            run,
            kind="Evaluation" if isinstance(run, Evaluation) else "Run",
            subtitle=_subtitle(run),
            answers=[] if run.control is not None else run_answers(run),
            warnings=_run_warnings(run),
            methods=evaluation_methods(run) if isinstance(run, Evaluation) else run_methods(run),
            details=run_details(run),
            links=[FileLink("Predictions of every image", "../predictions.csv")],
        )
        return [write_page(folder, page, "Report of this run")]

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Write ``report.html``."""
        total = len(study.runs)
        subtitle = f"{plural(len(study.experiments), 'experiment')}, {plural(total, 'run')}"
        links = [FileLink("Scores of every run", "../runs.csv")] + [
            FileLink(
                f"Predictions of every image, run {run.folder.name} ({experiment.name})",
                f"../runs/{run.folder.name}/predictions.csv",
            )
            for experiment in study.experiments
            for run in experiment.runs[:1]
            if experiment.out_of_fold is None
        ]
        links += [
            FileLink(title, f"../{name}")
            for name, title in _TABLES.items()
            if (study.folder / name).is_file()
        ]
        page = _render(
            study,
            kind="Study",
            subtitle=subtitle,
            answers=study_answers(study),
            warnings=_study_warnings(study),
            methods=study_methods(study),
            details=study_details(study),
            links=links,
        )
        return [write_page(folder, page, "Report of this study")]

    def audit(self, report: AuditReport, folder: Path) -> Sequence[Artifact]:
        """Write ``report.html``."""
        return [write_page(folder, audit_page(report), "Audit of the images")]


def _render(
    results: Run | Study,
    *,
    kind: str,
    subtitle: str,
    answers: Sequence[Answer],
    warnings: Sequence[str],
    methods: str,
    details: Sequence[Detail],
    links: Sequence[FileLink],
) -> str:
    reports = results.folder / "reports"
    shown = [each for each in results.artifacts if each.path != reports / FILE_NAME]
    picture, others = lead_picture(shown)
    page: list[Section] = sections(others, reports)
    content: dict[str, Any] = {
        "heading": _heading(kind, results.folder.resolve().name),
        "subtitle": subtitle,
        "control": control_banner(results),
        "leak": leak_banner(results),
        "answers": answers,
        "picture": None if picture is None else item_of(picture, reports),
        "warnings": [*warnings, *failed_reporters(results.reports)],
        "first": [section for section in page if section.before_details],
        "more": [section for section in page if not section.before_details],
        "methods": methods,
        "details": details,
        "links": [*links, *file_links(shown, reports)],
        "reporters": reporter_settings(results.reports),
    }
    return render("report.html", **content)


def _heading(kind: str, name: str) -> str:
    """Return the kind and the folder's name, unless the folder is called "run"."""
    return kind if name.casefold() == kind.casefold() else f"{kind} {name}"


def _subtitle(run: Run) -> str:
    experiment: dict[str, Any] = run.metadata.experiment
    dataset = experiment.get("dataset", {})
    source = dataset.get("path") or dataset.get("type", "")
    return f"{experiment.get('architecture', {}).get('type', '')} on {source}"


def _run_warnings(run: Run) -> list[str]:
    return list(dict.fromkeys([*_group_notes(run, run.warnings), *_own_warnings(run)]))


def _own_warnings(run: Run) -> list[str]:
    """Return a run's warnings; records of older runs lack those of classes never predicted."""
    if any("never predicted" in warning for warning in run.warnings):
        return list(run.warnings)
    unpredicted = [line for split in run.test_splits for line in never_predicted(run, split)]
    return [*run.warnings, *unpredicted]


def _study_warnings(study: Study) -> list[str]:
    total = len(study.runs)
    counts = Counter(warning for run in study.runs for warning in dict.fromkeys(_own_warnings(run)))
    lines = [f"{warning} ({count} of {plural(total, 'run')})" for warning, count in counts.items()]
    return [*_group_notes(study, list(counts)), *lines, *failed_during_trainings(study)]


def _group_notes(results: Run | Study, warnings: Sequence[str]) -> list[str]:
    """Return the note on unknown groups, unless a warning says the same."""
    note = group_note(results)
    repeated = any("independent" in warning for warning in warnings)
    return [note] if note and not repeated else []
