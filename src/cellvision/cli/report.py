"""``cellvision report``: create the reports of a run, study or evaluation again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors
from cellvision.cli import experiments
from cellvision.cli.run_images import RunImages
from cellvision.cli.study_options import accuracy_of
from cellvision.cli.text import printable
from cellvision.cli.values import with_changes

if TYPE_CHECKING:
    from cellvision.interfaces.reporter import Reporter
    from cellvision.results.run import Run
    from cellvision.results.study import Study

_log = logging.getLogger(__name__)


def run(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="RESULTS_DIR",
            help="Folder of a finished run, study or evaluation, or its address.",
        ),
    ],
    names: Annotated[
        list[str],
        typer.Option(
            "--reporter",
            metavar="NAME",
            help="Run this reporter. Repeat for several. Default: those of the experiment.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the reporter named by --reporter, such as "
            "answers=expert.csv. Other settings stay as in the experiment.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    expert: Annotated[
        list[str],
        typer.Option(
            "--expert",
            metavar="SPLIT=ACCURACY",
            help="Record the accuracy of a human expert on a split of a study, such as test=0.93, "
            "and draw it in figures.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    run_images: RunImages = None,
    allow_network: experiments.AllowNetwork = False,
) -> None:
    """Create the reports of a run, study or evaluation again."""
    from cellvision import remote
    from cellvision.backends.startup import raise_if_no_backend
    from cellvision.locks import folder_lock

    raise_if_no_backend()
    accuracies = dict(accuracy_of(text) for text in expert)
    with remote.results(folder) as local, folder_lock(local, "report"):
        location = None if allow_network else folder
        _report(local, names, changes, location, run_images, accuracies)


def _report(
    folder: Path,
    names: list[str],
    changes: list[str],
    location: str | None,
    run_images: str | None,
    expert: Mapping[str, float],
) -> None:
    """Report on a local folder; `location` is what the user called it, None to allow any."""
    from cellvision.backends.startup import start_backend
    from cellvision.plugin_versions import warn_of_differences
    from cellvision.progress import displayed
    from cellvision.results.recorded_dataset import refuse_unknown_addresses
    from cellvision.results.reporting import default_reporters, make_reports
    from cellvision.results.run import Run

    result = _opened(folder, run_images)
    for run in (result,) if isinstance(result, Run) else result.runs:
        warn_of_differences(run.metadata, run.folder)
        if location is not None and run_images is None:
            refuse_unknown_addresses(run.metadata.experiment, location, location)
    declared = _declared(result)
    if changes and len(names) != 1:
        raise errors.InvalidInput("--set changes one reporter only", "Name it: --reporter NAME")
    if names:
        reporters = tuple(_named(name, declared, changes) for name in names)
    elif not isinstance(result, Run) and not declared:
        reporters = default_reporters()
    else:
        first = result if isinstance(result, Run) else result.runs[0]
        declared = _installed(declared, first)
        reporters = tuple(_named(settings["type"], (settings,), ()) for settings in declared)
        _announce(folder, declared, reporters)
    if expert:
        result = _with_expert(result, expert)
    start_backend()
    with displayed(None) as display:
        artifacts, faults = make_reports(result, reporters, display)
        pages, more_faults = make_reports(result, _existing_pages(result, reporters), display)
    faults += more_faults
    for artifact in (*artifacts, *pages):
        print(printable(artifact.path))
    _raise_first(sorted(faults, key=lambda fault: not isinstance(fault, errors.ReportError)))
    if not artifacts:
        raise errors.CellvisionError(
            f"{folder}: {', '.join(names) or 'the reporters'} had nothing to report",
            "List the reporters with cellvision plugins: some report on runs, some on studies.",
        )


def _opened(folder: Path, run_images: str | None) -> Run | Study:
    """Open any finished results; images may be on any storage, unless the caller refuses it."""
    from cellvision.results.claimed_folder import EVALUATION
    from cellvision.results.evaluation import load_evaluation
    from cellvision.results.run import load_run
    from cellvision.results.study import load_study

    if (folder / "study.json").is_file():
        return load_study(folder, images=run_images, allow_network=True)
    load = load_evaluation if (folder / EVALUATION).is_file() else load_run
    return load(folder, images=run_images, allow_network=True)


def _with_expert(result: Run | Study, expert: Mapping[str, float]) -> Study:
    from cellvision.results.study import Study
    from cellvision.studies.later_expert import with_expert

    if isinstance(result, Study):
        return with_expert(result, expert)
    raise errors.InvalidInput(
        f"{result.folder}: --expert is for studies", "Name the folder of a study, or omit --expert."
    )


def _declared(result: Run | Study) -> list[Mapping[str, Any]]:
    """Return the settings of the reporters that a record names."""
    from cellvision.results.run import Run

    experiment = (
        result.metadata.experiment
        if isinstance(result, Run)
        else result.metadata.experiments[0].experiment
    )
    declared: Any = experiment.get("reporters") or []
    if not isinstance(declared, list) or not all(
        isinstance(each, dict) and isinstance(each.get("type"), str) for each in declared
    ):
        raise errors.FolderError(
            f"{result.folder}: its record lists reporters without their type", "Restore the record."
        )
    return declared


def _existing_pages(result: Run | Study, others: Sequence[Reporter]) -> tuple[Reporter, ...]:
    """Return the reporters of existing pages, which show what other reporters have written."""
    from cellvision.interfaces.reporter import reporters

    names = {reporters.name_of(type(reporter)) for reporter in others}
    settings = [
        {**entry.settings, "type": entry.reporter}
        for entry in result.reports
        if entry.reporter not in names
        and entry.reporter in reporters
        and any(artifact.kind == "page" for artifact in entry.artifacts)
    ]
    pages = [_named(str(each["type"]), (each,), ()) for each in settings]
    return tuple(page for page in pages if page.runs_last)


def _installed(declared: Sequence[Mapping[str, Any]], run: Run) -> list[Mapping[str, Any]]:
    """Leave out recorded reporters that are not installed, with a warning."""
    from cellvision.interfaces.reporter import reporters
    from cellvision.plugin_versions import how_to_install

    present = []
    for settings in declared:
        name = settings["type"]
        requirement = run.metadata.plugins.get(f"{reporters.group}:{name}")
        if name in reporters or requirement is None:
            present.append(settings)
        else:
            _log.warning(
                "the reporter %r is not installed, so its report stays as it is. %s",
                name,
                how_to_install([requirement], run.folder),
            )
    return present


def _raise_first(faults: Sequence[errors.CellvisionError]) -> None:
    """Warn of all errors but the first, and raise that one."""
    for fault in faults[1:]:
        _log.warning("%s", fault.what)
    if faults:
        raise faults[0]


def _announce(
    folder: Path, declared: Sequence[Mapping[str, Any]], chosen: Sequence[Reporter]
) -> None:
    """Say which other than the default reporters a run asks for: its file may be a stranger's."""
    from cellvision.results.reporting import default_reporters

    ordinary = default_reporters()
    special = []
    for settings, reporter in zip(declared, chosen, strict=True):
        if reporter not in ordinary:
            changes = reporter.model_dump(mode="json", exclude_defaults=True)
            changes.pop("type", None)
            special.append(f"{settings['type']} {changes}" if changes else settings["type"])
    if special:
        typer.echo(printable(f"{folder} asks for the reporters {', '.join(special)}"), err=True)


def _named(name: str, declared: Sequence[Mapping[str, Any]], changes: Sequence[str]) -> Reporter:
    """Return a reporter with its settings in the experiment, and the changes applied."""
    from cellvision.interfaces.reporter import reporters

    settings = next((dict(entry) for entry in declared if entry["type"] == name), {})
    settings.pop("type", None)
    settings = with_changes(settings, changes, "--set answers=expert.csv")
    reporter: Reporter = reporters.create(name, **settings)
    return reporter
