"""``cellvision train``: one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli import experiments

if TYPE_CHECKING:
    from cellvision.results.run import Run

Out = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="DIR",
        help="A new or empty folder, or an address such as s3://bucket/runs/first.",
        show_default=False,
    ),
]


def run(
    source: experiments.Source,
    out: Out,
    recipe: experiments.RecipeName = None,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the interrupted run in DIR; starts anew if there is none.",
        ),
    ] = False,
) -> None:
    """Train a network once, evaluate it on every split and write the run's folder."""
    experiment = experiments.read_with_recipe(source, changes, recipe)
    from cellvision.backends import distributed
    from cellvision.backends.startup import start_backend
    from cellvision.backends.threads import configure_threads
    from cellvision.training.train import train

    def prepare() -> None:
        distributed.join()
        configure_threads(experiment)

    total, this = distributed.from_environment()
    if total > 1:
        typer.echo(f"process {this} of {total}: waiting for the others", err=True)
    start_backend(prepare)
    finished = train(experiment, out, resume=resume, progress=True)
    if distributed.rank() == 0:
        show(finished, out)


def show(finished: Run, out: str) -> None:
    """Print a run's warnings and scores, and where it is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from cellvision.remote import is_address

    console = Console(highlight=False)
    for warning in finished.warnings:
        style = "bold red" if warning.startswith("LEAK") else "yellow"
        console.print(f"Mind: {escape(warning)}", style=style)
    unit = finished.metadata.group_column or "units unknown"
    table = Table("split", "images", escape(unit), "accuracy", "95 % interval", box=None)
    for split, score in finished.scores.items():
        table.add_row(
            escape(split),
            str(score.n),
            "" if score.groups is None else str(score.groups),
            f"{score.accuracy:.3f}",
            f"{score.accuracy_low:.3f} to {score.accuracy_high:.3f}",
        )
    console.print(table)
    console.print(f"Guessing gives {1 / len(finished.class_names):.3f}{_commonest(finished)}.")
    page = finished.folder / "reports" / "report.html"
    console.print(f"{escape(str(page if page.is_file() else finished.folder))}", soft_wrap=True)
    if is_address(out):
        console.print(escape(out), soft_wrap=True)


def _commonest(finished: Run) -> str:
    """What a network gets that always gives the same answer, which can be far above guessing."""
    shares = [
        (max(counts.values()) / sum(counts.values()), split)
        for split, counts in finished.metadata.counts.items()
        if split in finished.test_splits
    ]
    return "".join(
        f"; always the commonest class of {split}: {share:.3f}" for share, split in shares
    )
