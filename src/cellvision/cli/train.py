"""``cellvision train``: train a network once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli import experiments
from cellvision.cli.output_folder import removed_if_empty, shown_without_reports

if TYPE_CHECKING:
    from cellvision.results.run import Run

Out = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="DIR",
        help="New or empty folder for the results, or an address such as s3://bucket/runs/first.",
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
            help="Continue an interrupted or failed training in DIR, or train from the beginning.",
        ),
    ] = False,
) -> None:
    """Train a network once.

    Evaluates it on every split and writes the run's folder with all results.
    """
    from cellvision.backends.startup import raise_if_no_backend, start_backend
    from cellvision.results.claimed_folder import raise_if_in_use

    raise_if_no_backend()
    if not resume:
        raise_if_in_use(out)
    experiment = experiments.read_with_recipe(source, changes, recipe)
    from cellvision.backends import distributed
    from cellvision.backends.threads import configure_threads
    from cellvision.training.train import train

    def prepare() -> None:
        distributed.join()
        configure_threads(experiment)

    total, rank = distributed.from_environment()
    if total > 1:
        typer.echo(f"process {rank} of {total}: waiting for the others", err=True)
    if rank == 0:
        experiments.say_reasons(experiment)
    with removed_if_empty(out), shown_without_reports(show, out):
        # One process reads and checks the images first: importing TensorFlow takes seconds.
        if total > 1:
            start_backend(prepare)
        result = train(experiment, out, resume=resume, progress=True)
    if distributed.rank() == 0:
        show(result, out)


def show(run: Run, out: str) -> None:
    """Print a run's warnings and scores, and where its report is."""
    from rich.console import Console

    from cellvision.cli.result_warnings import print_warnings
    from cellvision.cli.score_tables import SOLVED, class_table, omitted_classes, score_table
    from cellvision.cli.text import as_markup, printable
    from cellvision.remote import is_address
    from cellvision.results.worst_batch import worst_batch_of_run

    console = Console(highlight=False)
    print_warnings(console, [run])
    console.print(score_table(run))
    if run.metadata.solved and len(run.history):  # an evaluation trained nothing
        console.print(f"{SOLVED.capitalize()}.")
    chance = 1 / len(run.class_names)
    console.print(f"Guessing at random gives {chance:.3f}{_majority_baseline(run)}.", markup=False)
    for split in run.test_splits:
        classes = run.scores[split].classes
        if classes:
            console.print(f"\nClasses of {as_markup(split)}:", style="bold")
            console.print(class_table(classes))
        if omitted_classes(classes):
            console.print(omitted_classes(classes))
        worst = worst_batch_of_run(run, split)
        if worst is not None:
            sentence = f"{split}: {worst.sentence(run.batch_column)}"
            console.print(printable(sentence), markup=False)
    page = run.folder / "reports" / "report.html"
    print(printable(page if page.is_file() else run.folder))
    if is_address(out):
        print(printable(out))


def _majority_baseline(run: Run) -> str:
    """Return the accuracy of always answering the commonest class, for each test set."""
    from cellvision.cli.text import printable

    return "".join(
        f"; always the commonest class of {printable(split)}: "
        f"{max(counts.values()) / sum(counts.values()):.3f}"
        for split, counts in run.metadata.counts.items()
        if split in run.test_splits
    )
