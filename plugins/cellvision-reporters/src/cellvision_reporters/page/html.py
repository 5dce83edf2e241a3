"""The reporter ``html``: composes what other reporters wrote into one page."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, Reporter, io
from cellvision_reporters.figures.banners import control_banner, group_note, leak_banner
from cellvision_reporters.figures.class_warnings import never_predicted
from cellvision_reporters.figures.phrasing import plural
from cellvision_reporters.page.answer import Answer, run_answers, study_answers
from cellvision_reporters.page.content import FileLink, Section, file_links, sections
from cellvision_reporters.page.details import Detail, run_details, study_details
from cellvision_reporters.page.methods import run_methods, study_methods

if TYPE_CHECKING:
    from cellvision import Run, Study

FILE_NAME = "report.html"
"""Name of the page."""


class Html(Reporter):
    """One page about a run or a study: self-contained HTML for screen, phone and paper.

    It shows the artifacts of all reporters that ran, built-in and third-party alike, in their
    order. It draws nothing itself.
    """

    enabled_by_default: ClassVar[bool] = True
    runs_last: ClassVar[bool] = True

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Write ``report.html``."""
        page = _render(
            run,
            kind="Run",
            subtitle=_subtitle(run),
            answers=[] if run.control is not None else run_answers(run),
            warnings=_run_warnings(run),
            methods=run_methods(run),
            details=run_details(run),
            links=[FileLink("Predictions of every image", "../predictions.csv")],
        )
        return [_write(folder, page, f"Report of the run {run.folder.resolve().name}")]

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
        return [_write(folder, page, f"Report of the study {study.folder.resolve().name}")]


def _write(folder: Path, page: str, title: str) -> Artifact:
    return Artifact(io.write_text(folder / FILE_NAME, page), title, "page", order=0)


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
    import importlib_metadata
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cellvision_reporters", "page/templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    reports = results.folder / "reports"
    shown = [each for each in results.artifacts if each.path != reports / FILE_NAME]
    page: list[Section] = sections(shown, reports)
    content: dict[str, Any] = {
        "kind": kind,
        "name": results.folder.resolve().name,
        "subtitle": subtitle,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": importlib_metadata.version("cellvision"),
        "control": control_banner(results),
        "leak": leak_banner(results),
        "answers": answers,
        "warnings": [*warnings, *_failed_reporters(results)],
        "first": [section for section in page if section.before_details],
        "more": [section for section in page if not section.before_details],
        "methods": methods,
        "details": details,
        "links": [*links, *file_links(shown, reports)],
        "reporters": [
            (
                entry.reporter,
                ", ".join(f"{k} = {v!r}" for k, v in entry.settings.items() if k != "type"),
            )
            for entry in results.reports
        ],
    }
    return environment.get_template("report.html").render(**content)


def _failed_reporters(results: Run | Study) -> list[str]:
    return [
        f"The reporter {entry.reporter!r} failed: {entry.fault}"
        for entry in results.reports
        if entry.fault
    ]


def _subtitle(run: Run) -> str:
    experiment: dict[str, Any] = run.metadata.experiment
    dataset = experiment.get("dataset", {})
    source = dataset.get("path") or dataset.get("type", "")
    return f"{experiment.get('architecture', {}).get('type', '')} on {source}"


def _run_warnings(run: Run) -> list[str]:
    unpredicted = [line for split in run.test_splits for line in never_predicted(run, split)]
    return list(dict.fromkeys([*_group_notes(run, run.warnings), *run.warnings, *unpredicted]))


def _study_warnings(study: Study) -> list[str]:
    total = len(study.runs)
    counts = Counter(
        warning
        for run in study.runs
        for warning in dict.fromkeys(
            [*run.warnings, *(w for split in run.test_splits for w in never_predicted(run, split))]
        )
    )
    lines = [f"{warning} ({count} of {plural(total, 'run')})" for warning, count in counts.items()]
    return [*_group_notes(study, list(counts)), *lines]


def _group_notes(results: Run | Study, warnings: Sequence[str]) -> list[str]:
    """Return the note on unknown groups, unless a warning says the same."""
    note = group_note(results)
    repeated = any("independent" in warning for warning in warnings)
    return [note] if note and not repeated else []
