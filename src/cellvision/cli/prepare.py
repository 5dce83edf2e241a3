"""`cellvision prepare`: tiles, crops, rotated copies and numbered series, with provenance."""

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
from cellvision.cli.text import printable
from cellvision.plurals import counted

if TYPE_CHECKING:
    import pandas

app = typer.Typer(
    no_args_is_help=True,
    help="Prepare images for training. Every command writes a manifest.csv with provenance.",
)

Source = Annotated[
    Path,
    typer.Argument(
        help="An image, or a folder with images in *, <class>/* or <split>/<class>/*.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Output folder; must be new, or begun by the same command.", show_default=False
    ),
]


@app.command("slice")
def slice_command(
    source: Source,
    out: Out,
    tiles: Annotated[int | None, typer.Option(help="Number of tiles per image.")] = None,
    grid: Annotated[str | None, typer.Option(metavar="RxC", help="Rows x columns.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Height x width of a tile in pixels.")
    ] = None,
    overlap: Annotated[
        int, typer.Option(help="Pixels shared by neighbouring tiles; with --size.")
    ] = 0,
    edge: Annotated[
        Literal["drop", "pad", "shift"],
        typer.Option(
            help="If tiles do not fill the image: drop its edge, pad tiles with zeros, "
            "or shift the last tiles inwards."
        ),
    ] = "drop",
) -> None:
    """Cut wide-field images into tiles; pixel values stay as they are."""
    from cellvision import prepare

    with _progress_bar("slice") as progress:
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
    _print_summary(manifest, "tile", out)


@app.command("crop")
def crop_command(
    source: Source,
    out: Out,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV of objects from CellProfiler, QuPath, ImageJ or scikit-image, or with "
            "columns image, x, y.",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of label masks named like the images, or one mask.", show_default=False
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Height x width of a crop in pixels; default: the object's box."
        ),
    ] = None,
    margin: Annotated[int, typer.Option(help="Pixels to add around the object's box.")] = 0,
    edge: Annotated[
        Literal["pad", "shift", "drop"],
        typer.Option(
            help="If a crop reaches beyond the image: pad with zeros, shift it inwards, "
            "or drop the object."
        ),
    ] = "pad",
    background: Annotated[
        Literal["keep", "remove"],
        typer.Option(help="remove: set pixels outside the object's mask to 0; with --masks."),
    ] = "keep",
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="Sort crops into folders by this class."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN,...", help="Columns that name the independent group."),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="COLUMN,...", help="Columns that name the batch.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="COLUMN,...", help="Further columns for the manifest.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="Micrometres per pixel of the table.")
    ] = None,
) -> None:
    """Cut objects out of images, by a table of positions or by label masks."""
    from cellvision import prepare

    with _progress_bar("crop") as progress:
        manifest = prepare.crop_images(
            source,
            out,
            table=table,
            masks=masks,
            size=None if size is None else parse_pair(size, "--size"),
            margin=margin,
            edge=edge,
            background=background,
            label=label,
            group=parse_names(group),
            batch=parse_names(batch),
            columns=parse_names(columns),
            pixel_size=pixel_size,
            progress=progress,
        )
    _print_summary(manifest, "crop", out)


@app.command("rotate")
def rotate_command(
    source: Source,
    out: Out,
    angles: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Degrees, counter-clockwise, such as -5,-4,0,90.",
            show_default=False,
        ),
    ],
    corners: Annotated[
        Literal["fill", "crop", "reflect"],
        typer.Option(help="Fill the corners with one value, crop them, or mirror the image."),
    ] = "fill",
    fill: Annotated[float, typer.Option(help="Value for --corners fill.")] = 0,
) -> None:
    """Write rotated copies; multiples of 90 degrees are exact."""
    from cellvision import prepare

    with _progress_bar("rotate") as progress:
        manifest = prepare.rotate_images(
            source,
            out,
            angles=parse_angles(angles),
            corners=corners,
            fill=fill,
            progress=progress,
        )
    _print_summary(manifest, "rotated image", out)


@app.command("number")
def number_command(
    source: Source,
    out: Annotated[Path | None, typer.Option(help="New folder for copies.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Rename inside SOURCE instead of copying.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Put back the names that --in-place changed last.")
    ] = False,
    prefix: Annotated[str, typer.Option(help="Beginning of the names.")] = "s",
    start: Annotated[int, typer.Option(help="First index.")] = 0,
    trust_record: Annotated[
        bool,
        typer.Option(
            "--trust-record",
            help="Finish or undo a numbering that was begun by another user or on another "
            "computer.",
        ),
    ] = False,
) -> None:
    """Name images s0, s1, ... in every sub-folder; no file is ever overwritten."""
    from cellvision import prepare

    if undo:
        if out is not None or in_place:
            raise errors.InvalidInput(
                "--undo puts names back and makes none", "Leave --out and --in-place out."
            )
        with _progress_bar("undo") as progress:
            names = prepare.undo_numbering(source, trust_record=trust_record, progress=progress)
        print(f"put back {counted(len(names), 'name')} in {printable(source)}")
        return
    with _progress_bar("number") as progress:
        manifest = prepare.number_images(
            source,
            out,
            in_place=in_place,
            prefix=prefix,
            start=start,
            trust_record=trust_record,
            progress=progress,
        )
    _print_summary(manifest, "name", out or source)


def parse_pair(text: str, option: str) -> tuple[int, int]:
    """Parse `4x6` as rows and columns, or height and width."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})\s*", text)
    if not match:
        raise errors.InvalidInput(
            f"{option} {text!r} is not two whole numbers joined by x", f"For instance {option} 4x4."
        )
    return int(match[1]), int(match[2])


def parse_angles(text: str) -> list[float]:
    """Parse `-5,-4,7.5` as degrees."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise errors.InvalidInput(
            f"--angles {text!r}: {error}", "Separate degrees by commas, such as -5,-4,0,90."
        ) from error


def parse_names(text: str | None) -> list[str]:
    """Parse `plate,well` as names of columns."""
    return [] if text is None else [name.strip() for name in text.split(",") if name.strip()]


@contextmanager
def _progress_bar(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar, then any warnings, on standard error."""
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
                print(f"note: {printable(warning.message)}", file=sys.stderr)


def _print_summary(manifest: pandas.DataFrame, output: str, folder: Path) -> None:
    sources = counted(manifest["source"].nunique(), "image")
    print(
        f"{counted(len(manifest), output)} of {sources} in {printable(folder)}, "
        "listed in manifest.csv"
    )
