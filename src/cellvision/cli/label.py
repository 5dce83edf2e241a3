"""``cellvision label``: label images blindly on a local page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision import errors
from cellvision.cli import experiments
from cellvision.cli.run_images import RunImages
from cellvision.cli.text import printable
from cellvision.plurals import counted

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.labelling.rules import Rules
    from cellvision.labelling.store import Store


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of images, an experiment file or a run's folder; or an answer FILE, "
            "to resume its session.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="SQLite file for the answers. If it exists, the session resumes.",
        ),
    ] = None,
    classes: Annotated[
        list[str],
        typer.Option(
            "--classes",
            metavar="A,B",
            help="Label a folder of unlabelled images, at any depth, with these classes.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    ranking_run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="RUN_DIR",
            help="Show the images on which this run is most uncertain first. Images it was "
            "tested on are refused.",
        ),
    ] = None,
    splits: Annotated[
        list[str],
        typer.Option(
            "--split", metavar="NAME", help="Split to label; may repeat. Default: all test sets."
        ),
    ] = [],  # noqa: B006 - Typer copies it
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            metavar="N",
            help="Label a random sample of N images; with --run, the N most uncertain.",
        ),
    ] = None,
    repeats: Annotated[
        float,
        typer.Option(
            "--repeats", metavar="FRACTION", help="Fraction of images shown twice, 0 to 0.5."
        ),
    ] = 0.1,
    practice: Annotated[
        int,
        typer.Option(
            "--practice",
            metavar="N",
            help="Start with N practice images whose class is revealed.",
        ),
    ] = 0,
    examples: Annotated[
        int,
        typer.Option(
            "--examples",
            metavar="N",
            help="Show N training images per class on the help panel.",
        ),
    ] = 3,
    breaks: Annotated[
        int,
        typer.Option("--breaks", metavar="N", help="Suggest a break every N images; 0 for never."),
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Seed of sample and order.")] = 0,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    recipe: experiments.RecipeName = None,
    static: Annotated[
        Path | None,
        typer.Option(
            "--static",
            metavar="DIR",
            help="Write a page to send, which works without Python. The answer file stays here.",
        ),
    ] = None,
    returned: Annotated[
        list[Path],
        typer.Option(
            "--returned",
            metavar="TABLE",
            help="Import the answers that such a page saved (CSV or JSON); may repeat.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="OUT.csv", help="Write the answers, one per row."),
    ] = None,
    export_table: Annotated[
        Path | None,
        typer.Option(
            "--export-table",
            metavar="OUT.csv",
            help="Write file and label of each image, as the data set 'table' reads them.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=1, max=65535, help="Port of the page."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    run_images: RunImages = None,
    session_images: Annotated[
        str | None,
        typer.Option(
            "--session-images",
            metavar="FOLDER",
            help="Where the images of an answer FILE are now, if they were moved since its start.",
            show_default=False,
        ),
    ] = None,
    allow_network: experiments.AllowNetwork = False,
) -> None:
    """Label images on a page of this computer, without seeing their names and classes.

    Every answer is saved at once. Run the same command again to resume.
    """
    from cellvision.labelling.rules import Rules

    if static is not None:
        from cellvision.labelling.static import raise_if_not_empty

        raise_if_not_empty(static)
    rules = Rules(tuple(splits), images, repeats, practice, examples, breaks, seed)
    opened = _open_store(
        source,
        out,
        rules,
        changes=changes,
        recipe=recipe,
        classes=classes,
        run_dir=ranking_run,
        allow_network=allow_network,
        run_images=run_images,
        session_images=session_images,
    )
    with opened as store:
        _import(store, returned)
        if static is not None:
            _write_page(store, static)
        if export is not None:
            _export(store, export)
        if export_table is not None:
            _export_table(store, export_table)
        if not returned and static is None and export is None and export_table is None:
            _serve(store, port, browser=browser)


def _open_store(
    source: str,
    out: Path | None,
    rules: Rules,
    *,
    changes: list[str],
    recipe: str | None,
    classes: list[str],
    run_dir: Path | None,
    allow_network: bool,
    run_images: str | None,
    session_images: str | None,
) -> Store:
    """Open the answer file that the command names, or create it."""
    from cellvision.labelling.database_schema import is_database
    from cellvision.labelling.rules import Rules
    from cellvision.labelling.session_source import (
        open_answer_file,
        open_session,
        raise_if_no_source,
        raise_if_session_images,
        run_record,
        with_run_images,
    )

    if is_database(Path(source)):
        named = (out, recipe, run_dir)
        given = any(each is not None for each in named) or changes or classes or rules != Rules()
        return open_answer_file(
            Path(source), session_images=session_images, run_images=run_images, omitted=not given
        )
    raise_if_no_source(source)
    raise_if_session_images(source, session_images)
    _refuse_contradictions(changes, recipe, classes, run_dir)
    if out is None:
        raise errors.InvalidInput("--out is missing", "Name a file for the answers: --out FILE")

    def experiment() -> Experiment:
        record = run_record(source, allow_network=allow_network)
        named = str(record or source)
        if run_dir is not None:  # whose preprocessing applies
            read = experiments.read(named, changes)
        else:
            read = experiments.read_with_recipe(named, changes, recipe)
        return with_run_images(read, record, run_images, allow_network=allow_network)

    return open_session(
        source,
        out,
        rules,
        experiment,
        classes=classes,
        run_folder=run_dir,
        allow_network=allow_network,
        run_images=run_images,
    )


def _refuse_contradictions(
    changes: list[str], recipe: str | None, classes: list[str], run_dir: Path | None
) -> None:
    if classes and (changes or recipe is not None):
        option = "--set" if changes else "--recipe"
        raise errors.InvalidInput(
            f"{option} changes an experiment, and --classes labels images without one",
            "Omit one of them",
        )
    if run_dir is not None and recipe is not None:
        raise errors.InvalidInput(
            "--run shows images as its network sees them, whatever --recipe would choose",
            "Omit one of them",
        )


def _import(store: Store, tables: list[Path]) -> None:
    from cellvision.labelling.import_answers import import_answers

    for table in tables:
        print(printable(f"{table}: {counted(import_answers(store, table), 'new answer')}"))


def _write_page(store: Store, folder: Path) -> None:
    from cellvision.labelling.moved_images import raise_if_moved
    from cellvision.labelling.static import write_page
    from cellvision.progress import displayed

    raise_if_moved(store.plan(), store.path)
    with displayed(None) as display:
        page = write_page(
            store, folder, lambda done, total: display.task("writing images", done, total)
        )
    sentence = f"{page}: send this folder, and keep {store.path}: only it knows the images"
    print(printable(sentence))


def _export(store: Store, target: Path) -> None:
    from cellvision.labelling.export_answers import export_answers

    answers = export_answers(store, target)
    unsure = sum(answer.answer is None for answer in answers)
    note = f', {unsure} of them "cannot say"' if unsure else ""
    if store.plan().rules.practice:
        note += "; those to practice images do not count"
    print(printable(f"{target}: {counted(len(answers), 'answer')}{note}"))


def _export_table(store: Store, target: Path) -> None:
    from cellvision.labelling.export_table import export_table
    from cellvision.labelling.moved_images import raise_if_moved

    raise_if_moved(store.plan(), store.path)
    summary = export_table(store, target)
    print(
        printable(
            f"{target}: {counted(summary.images, 'image')}, changed labels: {summary.changed}"
        )
    )
    if summary.tied or summary.cannot_say:
        print(
            f"without a new label: {summary.tied} without a majority of answers, "
            f'{summary.cannot_say} with "cannot say" only'
        )
    if summary.root is not None:
        print(printable(f"Files are relative to {summary.root}: set dataset.root to it"))
    else:
        print(printable(f"Train on it: {shlex.join(['cellvision', 'train', str(target)])}"))


def _serve(store: Store, port: int | None, *, browser: bool) -> None:
    from cellvision.labelling.moved_images import raise_if_moved
    from cellvision.labelling.server import open_page

    raise_if_moved(store.plan(), store.path)
    open_page(store, port, browser=browser)
    print()
    for rater in store.raters():
        images = counted(rater.total, "practice image" if rater.phase == "practice" else "image")
        print(printable(f"{rater.name}: {rater.done} of {images}"))
