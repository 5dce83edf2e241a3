"""``cellvision study``: train several times and report the spread."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors
from cellvision.cli import experiments
from cellvision.cli.output_folder import removed_if_empty
from cellvision.cli.train import Out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control
    from cellvision.results.study import Study


def run(
    source: experiments.Source,
    out: Out,
    runs: Annotated[int, typer.Option("--runs", metavar="N", help="Runs of each experiment.")] = 5,
    recipe: experiments.RecipeName = None,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="KEY=[A,B,...]",
            help="Study each of these values, such as architecture=[deep,alexnet]. Repeat for all "
            "combinations.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    all_controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Also run the installed controls, simpler explanations of the result. The verdict "
            "is based on them.",
        ),
    ] = False,
    some_controls: Annotated[
        list[str],
        typer.Option(
            "--control",
            metavar="NAME",
            help="Run this control: the name of an installed one (see cellvision plugins), or "
            "with settings, such as '{type=\"NAME\", KEY=VALUE}'. Repeat for several.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="Run the controls that are simpler models of the same images. If one of them "
            "does better, the network is not trained enough.",
        ),
    ] = False,
    expert: Annotated[
        list[str],
        typer.Option(
            "--expert",
            metavar="SPLIT=ACCURACY",
            help="Accuracy of a human expert on a split, such as test=0.93, drawn in figures.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Run on the workers of this Dask scheduler: an address such as tcp://host:8786, "
            "or its scheduler file. Default: run on this machine.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train several times and report the spread.

    Every run has its own seed. An interrupted study resumes.
    """
    experiments_by_name = grid(source, changes, vary, recipe)
    expert_accuracy = dict(_accuracy(text) for text in expert)
    from cellvision.backends.startup import start_backend
    from cellvision.backends.threads import configure_threads
    from cellvision.studies.dask import connect
    from cellvision.studies.study import study

    with nullcontext() if scheduler is None else connect(scheduler) as client:
        start_backend(partial(configure_threads, *experiments_by_name.values()))
        with removed_if_empty(out):
            result = study(
                experiments_by_name if vary else next(iter(experiments_by_name.values())),
                runs,
                out,
                controls=all_controls or requested_controls(some_controls, ladder=ladder),
                expert=expert_accuracy,
                client=client,
                progress=True,
            )
        show(result, out)


def requested_controls(named: Sequence[str], *, ladder: bool) -> list[Control]:
    """Return the controls that ``--control`` names, and with ``--ladder`` all lower rungs."""
    from cellvision.interfaces.control import controls, read_control
    from cellvision.studies.controls import installed_controls

    parsed = [experiments.parse(text) for text in named]
    requested = []
    for text, value in zip(named, parsed, strict=True):
        if isinstance(value, dict) and isinstance(value.get("type"), str):
            requested.append(read_control(value))
        elif text.startswith("{"):
            raise errors.ExperimentError(
                f"--control {text}: expected a name or a table of settings",
                """For example: --control '{type = "NAME", KEY = VALUE}'""",
            )
        else:
            requested.append(controls.create(text))
    kinds = {type(control) for control in requested}
    rungs = installed_controls(kind="lower rung") if ladder else []
    return [*requested, *(rung for rung in rungs if type(rung) not in kinds)]


def grid(
    source: str, changes: list[str], vary: list[str], recipe: str | None
) -> dict[str, Experiment]:
    """Return one experiment per combination of ``--vary`` values, named by these values.

    Without ``--vary`` the one experiment has an empty name.
    """
    axes = []
    for text in vary:
        key, _, values = text.partition("=")
        choices = experiments.parse(values)
        if not key or not isinstance(choices, list) or not choices:
            raise errors.ExperimentError(
                f"--vary {text}: expected KEY=[A,B,...]",
                "For example: --vary architecture=[deep,resnet]",
            )
        axes.append([(key, choice) for choice in choices])
    combinations = {}
    for combination in itertools.product(*axes):
        extra = [f"{key}={_text(value)}" for key, value in combination]
        name = ", ".join(_text(value) for _, value in combination)
        combinations[name] = experiments.read_with_recipe(source, [*changes, *extra], recipe)
    return combinations


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _accuracy(text: str) -> tuple[str, float]:
    split, _, value = text.partition("=")
    try:
        accuracy = float(value)
    except ValueError:
        accuracy = -1.0
    if not split or not 0 <= accuracy <= 1:
        raise errors.ExperimentError(
            f"--expert {text}: expected SPLIT=ACCURACY with an accuracy from 0 to 1",
            "For example: --expert test=0.93",
        )
    return split, accuracy


def show(study: Study, out: str) -> None:
    """Print the spread over runs, the verdicts, and where the report is."""
    from rich.console import Console
    from rich.table import Table

    from cellvision.cli.text import as_markup, printable
    from cellvision.remote import is_address

    console = Console(highlight=False)
    table = Table("experiment", "split", "runs", "mean accuracy", "SD", "range", box=None)
    for (name, split), rows in study.table.groupby(["experiment", "split"], sort=False):
        values = rows["accuracy"]
        table.add_row(
            as_markup(name),
            as_markup(split),
            str(len(values)),
            f"{values.mean():.3f}",
            f"{values.std():.3f}" if len(values) > 1 else "",
            f"{values.min():.3f} to {values.max():.3f}",
        )
    for ensemble in study.ensembles:
        for split, score in ensemble.scores.items():
            table.add_row(
                as_markup(f"{ensemble.experiment}: mean of all runs"),
                as_markup(split),
                "",
                f"{score.accuracy:.3f}",
                "",
                f"95 % interval {score.accuracy_low:.3f} to {score.accuracy_high:.3f}",
            )
    console.print(table)
    for verdict in study.verdicts:
        several = len(study.verdicts) > 1
        about = f"{verdict.experiment}, {verdict.split}: " if several else ""
        console.print(f"Verdict: {as_markup(about)}{verdict.sentence}", style="bold")
        for line in (*verdict.reasons, *verdict.warnings):
            console.print(f"  {as_markup(line)}", soft_wrap=True)
    page = study.folder / "reports" / "report.html"
    print(printable(page if page.is_file() else study.folder))
    if is_address(out):
        print(printable(out))
