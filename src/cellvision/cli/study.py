"""``cellvision study``: several runs from several seeds."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors
from cellvision.cli import experiments
from cellvision.cli.train import Out

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
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
            help="Do the study for each of these values, such as architecture=[deep,alexnet]; "
            "given again, for all combinations.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    all_controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Also do the runs of every control, from which nothing should be learned: the "
            "verdict rests on them.",
        ),
    ] = False,
    some_controls: Annotated[
        list[str],
        typer.Option(
            "--control",
            metavar="NAME",
            help="Only this control: permuted_groups, permuted_images, background or "
            "intensity; may be given again.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    expert: Annotated[
        list[str],
        typer.Option(
            "--expert",
            metavar="SPLIT=ACCURACY",
            help="A person's accuracy on a split, such as test=0.93, for figures to show.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="A Dask scheduler, such as tcp://host:8786, or the file that it wrote: its "
            "workers do the runs. Default: they are done here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train from several seeds and show the spread; an interrupted study goes on."""
    asked = grid(source, changes, vary, recipe)
    people = dict(_accuracy(text) for text in expert)
    from cellvision.backends.startup import start_backend
    from cellvision.backends.threads import configure_threads
    from cellvision.studies.controls import CONTROLS
    from cellvision.studies.dask import connect
    from cellvision.studies.study import study

    controls = CONTROLS if all_controls else some_controls
    with nullcontext() if scheduler is None else connect(scheduler) as client:
        start_backend(partial(configure_threads, *asked.values()))
        made = study(
            asked, runs, out, controls=controls, expert=people, client=client, progress=True
        )
        show(made, out)


def grid(
    source: str, changes: list[str], vary: list[str], recipe: str | None
) -> dict[str, Experiment]:
    """The experiments that ``--vary`` asks for, by names that tell their values."""
    axes = []
    for text in vary:
        key, _, values = text.partition("=")
        choices = experiments.parse(values)
        if not key or not isinstance(choices, list) or not choices:
            raise errors.ExperimentError(
                f"--vary {text}: expected KEY=[A,B,...]",
                "Such as --vary architecture=[deep,resnet]",
            )
        axes.append([(key, choice) for choice in choices])
    found = {}
    for chosen in itertools.product(*axes):
        extra = [f"{key}={_text(value)}" for key, value in chosen]
        name = ", ".join(_text(value) for _, value in chosen)
        found[name] = experiments.read_with_recipe(source, [*changes, *extra], recipe)
    return found


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
            f"--expert {text}: expected SPLIT=ACCURACY, 0 to 1", "Such as --expert test=0.93"
        )
    return split, accuracy


def show(finished: Study, out: str) -> None:
    """Print the spread over runs, and where they are."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from cellvision.remote import is_address

    console = Console(highlight=False)
    table = Table("experiment", "split", "runs", "mean accuracy", "SD", "range", box=None)
    for (name, split), rows in finished.table.groupby(["experiment", "split"], sort=False):
        values = rows["accuracy"]
        table.add_row(
            escape(str(name)),
            escape(str(split)),
            str(len(values)),
            f"{values.mean():.3f}",
            f"{values.std():.3f}" if len(values) > 1 else "",
            f"{values.min():.3f} to {values.max():.3f}",
        )
    for ensemble in finished.ensembles:
        for split, score in ensemble.scores.items():
            table.add_row(
                escape(f"{ensemble.experiment}: mean of all runs"),
                escape(split),
                "",
                f"{score.accuracy:.3f}",
                "",
                f"95 % interval {score.accuracy_low:.3f} to {score.accuracy_high:.3f}",
            )
    console.print(table)
    for verdict in finished.verdicts:
        several = len(finished.verdicts) > 1
        about = f"{verdict.experiment}, {verdict.split}: " if several else ""
        console.print(f"Verdict: {escape(about)}{verdict.sentence}", style="bold")
        for line in (*verdict.reasons, *verdict.warnings):
            console.print(f"  {escape(line)}", soft_wrap=True)
    page = finished.folder / "reports" / "report.html"
    console.print(escape(str(page if page.is_file() else finished.folder)), soft_wrap=True)
    if is_address(out):
        console.print(escape(out), soft_wrap=True)
