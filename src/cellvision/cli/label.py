"""``cellvision label``: an expert labels the test images, blindly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision import errors
from cellvision.cli import experiments

if TYPE_CHECKING:
    from cellvision.labelling.plan import Rules
    from cellvision.labelling.store import Store


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT_OR_FOLDER",
            help="A folder of images, an experiment file or a run's folder; or the FILE that an "
            "earlier call has made, to go on with it.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where answers go (an SQLite database); where it is there, it is gone on with.",
        ),
    ] = None,
    splits: Annotated[
        list[str],
        typer.Option(
            "--split", metavar="NAME", help="Whose images; may be given again. Default: test sets."
        ),
    ] = [],  # noqa: B006 - Typer copies it
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", help="So many of them, by chance.")
    ] = None,
    repeats: Annotated[
        float,
        typer.Option(
            "--repeats", metavar="SHARE", help="Share shown twice, unannounced, 0 to 0.5."
        ),
    ] = 0.1,
    practice: Annotated[
        int,
        typer.Option("--practice", metavar="N", help="Training images first, with their class."),
    ] = 0,
    breaks: Annotated[
        int, typer.Option("--breaks", metavar="N", help="Propose a rest after N images; 0 never.")
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of the images.")] = 0,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    static: Annotated[
        Path | None,
        typer.Option(
            "--static",
            metavar="DIR",
            help="Write a page that works without Python, to be sent; FILE is its key and stays.",
        ),
    ] = None,
    returned: Annotated[
        list[Path],
        typer.Option(
            "--returned", metavar="CSV", help="Take in answers that such a page has saved."
        ),
    ] = [],  # noqa: B006 - Typer copies it
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="OUT.csv", help="Write the answers as a table."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=1, max=65535, help="Where to serve the page."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Label images without seeing their names and classes, on a page of this computer.

    Every answer is stored at once. Give the same command again to go on.
    """
    from cellvision.labelling.plan import Rules
    from cellvision.labelling.store import Store, is_store

    rules = Rules(tuple(splits), images, repeats, practice, breaks, seed)
    if is_store(Path(source)):
        if out is not None or changes or rules != Rules():
            raise errors.InvalidInput(
                f"{source} holds answers: its images and rules were settled when it was begun",
                f"Leave the other options out: cellvision label {source}",
            )
        store = Store(Path(source))
    else:
        store = _of_experiment(source, changes, out, rules)
    if returned:
        _take_in(store, returned)
    if static is not None:
        _write_page(store, static)
    if export is not None:
        from cellvision.labelling.export import export as written

        print(f"{export}: {written(store, export)} answers")
    if not returned and static is None and export is None:
        _serve(store, port, browser)
    store.tidy()


def _of_experiment(source: str, changes: list[str], out: Path | None, rules: Rules) -> Store:
    """The file of answers to an experiment's images: a new one, or the one that is there."""
    from cellvision.labelling.plan import plan, settings_of
    from cellvision.labelling.store import Store
    from cellvision.progress import displayed

    if (Path(source) / "run.json").is_file():
        source = str(Path(source) / "run.json")
    experiment = experiments.read(source, changes)
    if out is None:
        raise errors.InvalidInput("--out is missing", "Name a file for the answers: --out FILE")
    if not out.exists():
        with displayed(None) as display:
            return Store.create(out, plan(experiment, rules, display.decoded))
    store = Store(out)
    begun = store.plan()
    if begun.experiment != settings_of(experiment):
        raise errors.InvalidInput(
            f"{out}: it was begun with other images, preprocessing or split", "Name another file"
        )
    given = asdict(rules)
    other = [name for name, value in asdict(begun.rules).items() if value != given[name]]
    if other:
        raise errors.InvalidInput(
            f"{out}: it was begun with another value of {', '.join(other)}",
            f"Go on with it as it is: cellvision label {out}",
        )
    return store


def _take_in(store: Store, tables: list[Path]) -> None:
    from cellvision.labelling.returned import take_in

    for table in tables:
        print(f"{table}: {take_in(store, table)} new answers")


def _write_page(store: Store, folder: Path) -> None:
    from cellvision.labelling.static import write_page
    from cellvision.progress import displayed

    with displayed(None) as display:
        page = write_page(
            store, folder, lambda done, total: display.task("writing images", done, total)
        )
    print(f"{page}: send this folder, and keep {store.path}, which is its key")


def _serve(store: Store, port: int | None, browser: bool) -> None:
    import webbrowser

    from cellvision.labelling.server import serve

    def ready(address: str) -> None:
        print(f"Open this in a browser on this computer:\n  {address}", flush=True)
        print(f"Answers go to {store.path}. Ctrl-C ends; {_again(store)} goes on.", flush=True)
        if browser:
            webbrowser.open(address)

    serve(store, port, ready)
    print()
    for state in store.raters():
        phase = "practice" if state.phase == "practice" else "images"
        print(f"{state.name}: {state.done} of {state.total} {phase}")


def _again(store: Store) -> str:
    return f"cellvision label {store.path}"
