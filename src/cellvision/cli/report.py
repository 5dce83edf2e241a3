"""``cellvision report``: make the reports of a run or study again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellvision import errors


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
) -> None:
    """Make the reports of a finished run or study again."""
    from cellvision import remote

    with remote.results(place) as folder:
        _report(folder, names)


def _report(folder: Path, names: list[str]) -> None:
    from cellvision.interfaces.reporter import reporters
    from cellvision.training.backend import start_quietly
    from cellvision.training.reports import automatic, make_reports
    from cellvision.training.run import load_run
    from cellvision.training.study import load_study

    is_study = (folder / "study.json").is_file()
    finished = load_study(folder) if is_study else load_run(folder)
    if names:
        wanted = tuple(reporters.create(name) for name in names)
    elif is_study:
        wanted = automatic()
    else:
        wanted = load_run(folder).experiment.reporters or ()
    start_quietly()
    made, faults = make_reports(finished, wanted)
    for path in made:
        print(path)
    if faults:
        raise faults[0]
    if not made:
        raise errors.CellvisionError(
            f"{folder}: {', '.join(names) or 'the reporters'} had nothing to report",
            "cellvision plugins lists the reporters; some are for runs, some for studies",
        )
