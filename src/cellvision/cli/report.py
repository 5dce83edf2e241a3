"""``cellvision report``: make the reports of a run or study again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cellvision import errors
from cellvision.cli import experiments

if TYPE_CHECKING:
    from cellvision.interfaces.reporter import Reporter


def run(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_STUDY_DIR", help="A finished run's or study's folder, or its address."
        ),
    ],
    names: Annotated[
        list[str],
        typer.Option(
            "--reporter",
            metavar="NAME",
            help="Which; may be given again. Default: those of the experiment.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the one reporter named, such as answers=expert.csv; the "
            "others are as the experiment has them.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
) -> None:
    """Make the reports of a finished run or study again."""
    from cellvision import remote

    with remote.results(place) as folder:
        _report(folder, names, changes)


def _report(folder: Path, names: list[str], changes: list[str]) -> None:
    from cellvision.backends.startup import start_backend
    from cellvision.progress import displayed
    from cellvision.results.reporting import default_reporters, make_reports
    from cellvision.results.run import Run, load_run
    from cellvision.results.study import Study, load_study

    is_study = (folder / "study.json").is_file()
    finished: Run | Study = load_study(folder) if is_study else load_run(folder)
    experiment = (
        finished.metadata.experiment
        if isinstance(finished, Run)
        else finished.metadata.experiments[0].experiment
    )
    declared = cast("list[dict[str, Any]]", experiment.get("reporters") or [])
    if changes and len(names) != 1:
        raise errors.InvalidInput("--set is for one reporter", "Name it: --reporter NAME")
    if names:
        wanted = tuple(_named(name, declared, changes) for name in names)
    elif is_study and not declared:
        wanted = default_reporters()
    else:
        wanted = tuple(_named(settings["type"], (settings,), ()) for settings in declared)
    start_backend()
    with displayed(None) as display:
        artifacts, faults = make_reports(finished, wanted, display)
    for artifact in artifacts:
        print(artifact.path)
    if faults:
        raise faults[0]
    if not artifacts:
        raise errors.CellvisionError(
            f"{folder}: {', '.join(names) or 'the reporters'} had nothing to report",
            "cellvision plugins lists the reporters; some are for runs, some for studies",
        )


def _named(name: str, declared: Sequence[Mapping[str, Any]], changes: Sequence[str]) -> Reporter:
    """A reporter with the settings that the experiment has for it, and those that are changed."""
    from cellvision.interfaces.reporter import reporters

    settings = next((dict(each) for each in declared if each["type"] == name), {})
    settings.pop("type", None)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise errors.InvalidInput(
                f"--set {change}: expected KEY=VALUE", "Such as --set answers=expert.csv"
            )
        settings[key.strip()] = experiments.parse(value.strip())
    made: Reporter = reporters.create(name, **settings)
    return made
