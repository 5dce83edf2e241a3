"""``cellvision study``: train several times and report the spread."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli import experiments
from cellvision.cli import study_options as options
from cellvision.cli.output_folder import removed_if_empty, shown_without_reports
from cellvision.cli.train import Out
from cellvision.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from cellvision.results.study import Study, StudyExperiment
    from cellvision.results.verdicts import VerdictRecord


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
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            metavar="N",
            help="Cross-validate: divide the groups into N folds and test each once, by networks "
            "trained on the others.",
            show_default=False,
        ),
    ] = None,
    leave_out: Annotated[
        str | None,
        typer.Option(
            "--leave-out",
            metavar="COLUMN",
            help="Cross-validate: leave out one value of this column at a time, such as compound, "
            "group or batch.",
            show_default=False,
        ),
    ] = None,
    splitter: Annotated[
        str | None,
        typer.Option(
            "--splitter",
            metavar="NAME",
            help="Divide the images with this splitter. Its settings: --set split.splitter.KEY=...",
            show_default=False,
        ),
    ] = None,
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="Run the controls that are simpler models of the same images. If one of them "
            "does better, the network is not trained enough.",
        ),
    ] = False,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            metavar="auto|[A,B,C]",
            help="Train on nested subsets of so many training groups, and show how accuracy grows "
            "with their number.",
            show_default=False,
        ),
    ] = None,
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
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            metavar="auto|N",
            help="Train N runs at a time, side by side in worker processes that share the "
            "processors. 1: one after the other. auto: what a trial shows to be faster.",
        ),
    ] = "auto",
) -> None:
    """Train several times and report the spread.

    Every run has its own seed. An interrupted study resumes.
    """
    from cellvision.backends.startup import raise_if_no_backend, start_backend

    raise_if_no_backend()
    number_of_workers = options.workers_of(workers)
    expert_accuracy = dict(options.accuracy_of(text) for text in expert)
    requested_sizes = options.sizes_of(sizes)
    named = options.named_controls(some_controls)
    changes = [*options.splitter_settings(folds, leave_out, splitter), *changes]
    from cellvision.studies.request import check_request

    check_request(
        runs, out, controls=named, sizes=requested_sizes, expert=expert_accuracy, several=bool(vary)
    )
    experiments_by_name = options.grid(source, changes, vary, recipe)
    experiments.say_reasons(*experiments_by_name.values())
    from cellvision.backends.threads import configure_threads
    from cellvision.studies.dask import connect
    from cellvision.studies.study import study

    with nullcontext() if scheduler is None else connect(scheduler) as client:
        prepare = partial(configure_threads, *experiments_by_name.values())
        start_backend(prepare)
        with removed_if_empty(out), shown_without_reports(show, out):
            result = study(
                experiments_by_name if vary else next(iter(experiments_by_name.values())),
                runs,
                out,
                controls=options.requested_controls(
                    named, experiments_by_name, ladder=ladder, every=all_controls
                ),
                sizes=requested_sizes,
                expert=expert_accuracy,
                client=client,
                workers=number_of_workers,
                progress=True,
            )
        show(result, out)


def _facts(verdict: VerdictRecord) -> list[str]:
    """State folds, accuracies of images and groups side by side, and the worst batch."""
    lines = []
    if verdict.folds is not None:
        groups = _groups(verdict, verdict.groups, verdict.unit_column)
        images = counted(verdict.n, "image")
        lines.append(f"{verdict.folds} folds by {verdict.folds_by}, {images}, {groups}.")
    accuracy = (
        f"Accuracy of {counted(verdict.n, 'image')} {verdict.accuracy:.2f} "
        f"({verdict.accuracy_low:.2f} to {verdict.accuracy_high:.2f}), "
        f"balanced {verdict.balanced_accuracy:.2f}"
    )
    if verdict.group_accuracy is not None:
        scored = verdict.groups_scored or 0
        accuracy += (
            f"; of {_groups(verdict, scored, verdict.group_column)} {verdict.group_accuracy:.2f} "
            f"({verdict.group_accuracy_low:.2f} to {verdict.group_accuracy_high:.2f})"
        )
        left_out = verdict.groups_left_out or 0
        if left_out:
            accuracy += f", without {counted(left_out, 'group')} of several labels or a tie"
    lines.append(f"{accuracy}.")
    if verdict.worst_batch is not None:
        lines.append(verdict.worst_batch.sentence(verdict.batch_column))
    return lines


def _groups(verdict: VerdictRecord, count: int | None, column: str | None) -> str:
    """Count groups, and name their column if folds leave out something coarser."""
    if count is None:
        return "groups unknown"
    coarser = verdict.unit_column not in (None, verdict.group_column)
    return f"{counted(count, 'group')} ({column})" if coarser else counted(count, "group")


def _verdict_lines(verdict: VerdictRecord, failed: Mapping[str, str]) -> list[str]:
    """Return what the verdict rests on: facts, reasons, every control and warnings, each once."""
    failures = [f"The control {name!r} failed: {reason}" for name, reason in failed.items()]
    controls = [control.sentence for control in verdict.controls]
    lines = [*_facts(verdict), *verdict.reasons, *controls, *verdict.warnings, *failures]
    return list(dict.fromkeys(line for line in lines if line))


def _show_classes(console: Console, experiment: StudyExperiment, *, several: bool) -> None:
    """Print the mean scores of the classes of each test set."""
    from cellvision.cli.score_tables import mean_class_table, omitted_classes, partly_defined
    from cellvision.cli.text import as_markup

    for split in experiment.test_splits:
        scores = experiment.scores(split)
        if not scores or not scores[0].classes:
            continue
        of = f"{as_markup(experiment.name)}, " if several else ""
        mean = f", mean of {len(scores)} runs" if len(scores) > 1 else ""
        console.print(f"\nClasses of {of}{as_markup(split)}{mean}:", style="bold")
        console.print(mean_class_table(scores))
        for note in (partly_defined(scores), omitted_classes(scores[0].classes)):
            if note:
                console.print(note)


def show(study: Study, out: str) -> None:
    """Print warnings, the spread over runs, the verdicts, and where the report is."""
    from rich.console import Console

    from cellvision.cli.result_warnings import print_warnings
    from cellvision.cli.score_tables import SOLVED, ensemble_table, spread_table
    from cellvision.cli.text import as_markup, printable
    from cellvision.remote import is_address

    console = Console(highlight=False)
    print_warnings(console, study.runs)
    console.print(spread_table(study))
    ensembles = ensemble_table(study)
    if ensembles is not None:
        console.print("\nMean of all runs:", style="bold")
        console.print(ensembles)
    solved = [each.name for each in study.experiments if each.networks[0].metadata.solved]
    if solved:
        print(f"{printable(', '.join(solved))}: {SOLVED}.")
    for experiment in study.experiments:
        _show_classes(console, experiment, several=len(study.experiments) > 1)
    failed = {each.name: each.record.failed_controls for each in study.experiments}
    for verdict in study.verdicts:
        several = len(study.verdicts) > 1
        about = f"{verdict.experiment}, {verdict.split}: " if several else ""
        console.print(f"Verdict: {as_markup(about + verdict.sentence)}", style="bold")
        for line in _verdict_lines(verdict, failed[verdict.experiment]):
            console.print(f"  {as_markup(line)}", soft_wrap=True)
    for curve in study.learning_curves:
        console.print(as_markup(f"{curve.split}: {curve.sentences[0]}"), soft_wrap=True)
        for line in curve.sentences[1:]:
            console.print(f"  {as_markup(line)}", soft_wrap=True)
    if study.pairs:
        console.print("Differences of accuracies, with 95 % intervals that hold together:")
    for pair in study.pairs:
        about = f"{pair.split}: " if len({each.split for each in study.pairs}) > 1 else ""
        console.print(f"  {as_markup(about + pair.sentence)}", soft_wrap=True)
    page = study.folder / "reports" / "report.html"
    print(printable(page if page.is_file() else study.folder))
    if is_address(out):
        print(printable(out))
