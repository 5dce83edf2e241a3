"""`cellvision prepare`: tiles, rotated copies and numbered series, with their provenance."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cellvision import errors

if TYPE_CHECKING:
    import pandas

app = typer.Typer(
    no_args_is_help=True,
    help="Make images ready for training; each verb writes a manifest.csv with the provenance.",
)

Source = Annotated[
    Path,
    typer.Argument(help="An image, or a folder: *, <class>/* or <split>/<class>/* below it."),
]
Out = Annotated[Path, typer.Option(help="A new folder, or one that this command began before.")]


@app.command("slice")
def slice_command(
    source: Source,
    out: Out,
    tiles: Annotated[int | None, typer.Option(help="Number of tiles an image.")] = None,
    grid: Annotated[str | None, typer.Option(metavar="RxC", help="Rows x columns.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Height x width of a tile in pixels.")
    ] = None,
    overlap: Annotated[
        int, typer.Option(help="Pixels that neighbouring tiles share; with --size.")
    ] = 0,
    edge: Annotated[
        Literal["drop", "pad", "shift"],
        typer.Option(
            help="Where tiles do not fill the image: leave its edge out, pad with zeros, "
            "or shift the last tiles inwards."
        ),
    ] = "drop",
) -> None:
    """Cut wide-field images into tiles; dtype, channels and every value stay."""
    from cellvision import prepare

    with _shown("slice") as progress:
        manifest = prepare.slice_images(
            source,
            out,
            tiles=tiles,
            grid=None if grid is None else parse_pair(grid, "--grid"),
            size=None if size is None else parse_pair(size, "--size"),
            overlap=overlap,
            edge=edge,
            progress=progress,
        )
    _summary(manifest, "tiles", out)


@app.command("rotate")
def rotate_command(
    source: Source,
    out: Out,
    angles: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Degrees, counter-clockwise, such as -5,-4,0,90."),
    ],
    corners: Annotated[
        Literal["fill", "crop", "reflect"],
        typer.Option(help="What the corners show: one value, nothing (cropped), or a mirror."),
    ] = "fill",
    fill: Annotated[float, typer.Option(help="The value for --corners fill.")] = 0,
) -> None:
    """Write rotated copies; multiples of 90 degrees are exact."""
    from cellvision import prepare

    with _shown("rotate") as progress:
        manifest = prepare.rotate_images(
            source,
            out,
            angles=parse_angles(angles),
            corners=corners,
            fill=fill,
            progress=progress,
        )
    _summary(manifest, "copies", out)


@app.command("number")
def number_command(
    source: Source,
    out: Annotated[Path | None, typer.Option(help="A new folder for the copies.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Rename inside SOURCE instead of copying.")
    ] = False,
    prefix: Annotated[str, typer.Option(help="The name's beginning.")] = "s",
    start: Annotated[int, typer.Option(help="The first index.")] = 0,
) -> None:
    """Name images s0, s1, ... in every sub-folder; no file is ever overwritten."""
    from cellvision import prepare

    with _shown("number") as progress:
        manifest = prepare.number_images(
            source, out, in_place=in_place, prefix=prefix, start=start, progress=progress
        )
    _summary(manifest, "names", out or source)


def parse_pair(text: str, option: str) -> tuple[int, int]:
    """Read `4x6` as rows and columns, or height and width."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})\s*", text)
    if not match:
        raise errors.InvalidInput(
            f"{option} {text!r} is not two whole numbers joined by x", f"For instance {option} 4x4."
        )
    return int(match[1]), int(match[2])


def parse_angles(text: str) -> list[float]:
    """Read `-5,-4,7.5` as degrees."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as fault:
        raise errors.InvalidInput(
            f"--angles {text!r}: {fault}", "Give degrees with commas between, such as -5,-4,0,90."
        ) from fault


@contextmanager
def _shown(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar and any notices on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from cellvision.prepare import PrepareWarning

    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PrepareWarning)
        try:
            with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(verb, total=None)
                yield lambda done, total: bar.update(task, completed=done, total=total)
        finally:
            for warning in caught:
                print(f"note: {warning.message}", file=sys.stderr)


def _summary(manifest: pandas.DataFrame, things: str, folder: Path) -> None:
    sources = manifest["source"].nunique()
    print(f"{len(manifest)} {things} of {sources} images in {folder}, listed in manifest.csv")
