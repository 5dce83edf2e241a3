"""Find the nuclei of fluorescence images, as masks to crop cells by."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer()


@app.command()
def run(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="Folder of images at any depth, or one image.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="New folder for masks and pictures.", show_default=False
        ),
    ],
    channel: Annotated[
        int | None,
        typer.Option(
            "--channel", metavar="N", help="Channel of the nuclear stain, numbered from 0."
        ),
    ] = None,
    diameter: Annotated[
        float | None,
        typer.Option(
            "--diameter",
            metavar="PIXELS",
            help="Typical diameter of a nucleus; estimated from each image by default.",
        ),
    ] = None,
    smallest: Annotated[
        float | None,
        typer.Option(
            "--smallest",
            metavar="AREA",
            help="Least area in square pixels; by default 15 % of a typical nucleus.",
        ),
    ] = None,
    border: Annotated[
        Literal["keep", "drop"],
        typer.Option("--border", help="drop: leave out nuclei that touch the edge of the image."),
    ] = "keep",
    dark: Annotated[
        bool, typer.Option("--dark", help="Nuclei are darker than the background.")
    ] = False,
) -> None:
    """Find the nuclei of fluorescence images, as masks to crop cells by.

    Writes label masks, pictures with outlines, and a table of all nuclei.
    """
    from cellvision_nuclei.folders import Settings, crop_side, find_in_folder

    settings = Settings(channel, diameter, smallest, border, dark)
    results = find_in_folder(source, out, settings, _show_progress)
    count = sum(result.count for result in results)
    images = "image" if len(results) == 1 else "images"
    typer.echo(f"{count} {'nucleus' if count == 1 else 'nuclei'} in {len(results)} {images}")
    _warn_of_doubtful([result.image for result in results if result.is_doubtful])
    if not count:
        typer.echo(
            "Try --dark if nuclei are darker than the background, another --channel, or "
            "--diameter PIXELS."
        )
        return
    side = crop_side(results)
    words = ["cellvision", "prepare", "crop", str(source), "--masks", str(out / "masks")]
    words += ["--size", f"{side}x{side}", "--out", str(out.with_name(f"{out.name}-cells"))]
    typer.echo(f"Look at {out / 'nuclei.png'}. Then cut the cells out:")
    typer.echo(f"  {shlex.join(words)}")


def _warn_of_doubtful(images: Sequence[str]) -> None:
    """Say which images have nuclei that hardly differ from the background."""
    if images:
        typer.echo(
            f"warning: in {len(images)} of them, such as {images[0]!r}, nuclei hardly differ "
            "from the background",
            err=True,
        )


def _show_progress(done: int, total: int) -> None:
    """Count images on a terminal; show nothing elsewhere."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rfinding nuclei {done}/{total}", end=end, file=sys.stderr, flush=True)
