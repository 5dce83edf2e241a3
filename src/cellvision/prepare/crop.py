"""Crop objects, such as cells or nuclei, out of larger images."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cellvision import errors
from cellvision.plurals import counted

from .crop_table import ColumnMapping, ObjectTable
from .label_masks import match_masks, objects_of, raise_if_same, read_labels
from .object_tables import Box, ObjectRow
from .pipeline import Progress, Result, Verb, decoded, run_verb
from .provenance import read_provenance
from .records import Output
from .sources import SourceImage, find_images, output_stems, unique_stems
from .warnings import warn
from .write import cut, is_colour, suffix_for, write_image

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

    from cellvision.interfaces.decoded_image import DecodedImage

Edge = Literal["pad", "shift", "drop"]
Background = Literal["keep", "remove"]


@dataclass(frozen=True)
class _Crop:
    """One object: its number in the image and the window to cut out, None if it is dropped."""

    number: int
    window: Box | None
    columns: Mapping[str, str] = field(default_factory=dict)
    class_folder: str | None = None


@dataclass(frozen=True)
class _Settings:
    """How a crop is placed, whatever tells where the object is."""

    size: tuple[int, int] | None
    margin: int
    edge: Edge
    background: Background


def crop_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    table: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    margin: int = 0,
    edge: Edge = "pad",
    background: Background = "keep",
    label: str | None = None,
    group: str | Sequence[str] | None = None,
    batch: str | Sequence[str] | None = None,
    columns: Sequence[str] = (),
    pixel_size: float | None = None,
    progress: Progress | None = None,
) -> pandas.DataFrame:
    r"""Cut objects out of images; dtype, channels and every value stay as they are.

    Give exactly one of `table` and `masks`. Outputs are named `<stem>_o<object>`, in the formats
    that `slice_images` writes.

    Parameters
    ----------
    source
        An image, or a folder with images in `*`, `<class>/*` or `<split>/<class>/*`.
    out
        A new folder outside of `source`, or the one that the same call began before.
    table
        CSV of objects as CellProfiler, QuPath, ImageJ and scikit-image write it, or with columns
        `image` and `x`, `y` or `left`, `top`, `right`, `bottom`. Rows find their image by its
        file name.
    masks
        A folder of label masks (0 is background, every object has its own number), or the mask of
        one image. A mask has the path of its image, possibly with `_masks`, `_labels` or the like
        appended.
    size
        Height and width of every crop, around the object's point or the centre of its box.
        Without it, a crop is the object's bounding box.
    margin
        Pixels to add on every side of a bounding box; not with `size`.
    edge
        What to do with a crop that reaches beyond the image: ``"pad"`` fills it with zeros;
        ``"shift"`` moves it inwards; ``"drop"`` leaves the object out, and warns how many.
    background
        ``"remove"`` sets everything outside of the object's mask to 0, neighbours included; only
        with `masks`.
    label
        Column of `table` with the object's class; crops go to `<class>/` in `out`, and objects
        without a class are left out, with a warning.
    group, batch
        Column of `table`, or several that are joined with a slash, to become the columns `group`
        (the independent unit, such as plate and well) and `batch` of the manifest.
    columns
        Further columns of `table` for the manifest. `Metadata_*` columns are always kept.
    pixel_size
        Micrometres per pixel, for tables in micrometres.
    progress
        Called with the number of finished images and of all images.

    Returns
    -------
    pandas.DataFrame
        The manifest, also written to `out/manifest.csv`: `file`, `source`, `field` (the source
        image), `transformation`, all provenance columns of the source's own tables, then those
        of `table`.

    Raises
    ------
    cellvision.errors.InvalidInput
        Contradictory settings, a table or mask that does not fit the images, masks that are the
        images themselves or look like images, or an object that lies outside of its image.
    cellvision.errors.FolderError
        `source` is missing or empty; `out` is in use or holds anything else.
    cellvision.errors.UnreadableImages
        Some images or masks cannot be decoded; the others are finished.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> from cellvision import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> tifffile.imwrite(folder / "well.tif", numpy.zeros((64, 64), "uint16"))
    >>> _ = (folder / "cells.csv").write_text("image,x,y\nwell.tif,20,30\nwell.tif,40,12\n")
    >>> manifest = prepare.crop_images(
    ...     folder / "well.tif", folder / "cells", table=folder / "cells.csv", size=(16, 16))
    >>> list(manifest["file"])
    ['well_o0001.tif', 'well_o0002.tif']
    """
    settings = _Settings(size, margin, edge, background)
    _check(settings, table, masks)
    if table is not None:
        mapping = ColumnMapping.of(label, _names(group), _names(batch), columns)
        verb = _crop_by_table(Path(source), Path(table), mapping, pixel_size, settings)
    else:
        assert masks is not None
        _refuse_table_options(
            label=label, group=group, batch=batch, columns=columns, pixel_size=pixel_size
        )
        raise_if_same(source, masks)
        verb = _crop_by_masks(masks, settings)
    if size is None:
        warn(
            "every crop has the size of its object; resizing them for training changes their "
            "magnification (--size keeps one scale)"
        )
    return run_verb(verb, source, out, progress)


def _crop_by_table(
    source: Path, table: Path, mapping: ColumnMapping, pixel_size: float | None, settings: _Settings
) -> Verb:
    objects = ObjectTable.read(table, mapping, pixel_size)
    if settings.size is None and any(row.box is None for row in objects.rows):
        raise errors.InvalidInput(
            f"{table} has points and no boxes", "Give the height and width of a crop with --size."
        )
    rows: dict[str, list[ObjectRow]] = {}

    def plan(images: Sequence[SourceImage]) -> Mapping[str, str]:
        rows.update(objects.match(images))
        root = source if source.is_dir() else source.parent
        objects.raise_if_contradicting(rows, read_provenance(root))
        if mapping.label is None:
            return output_stems(images)
        # Below <class>/ there are no further folders, so their names go into the file's name.
        return unique_stems(images, {i.name: i.field.replace("/", "_") for i in images})

    def make(image: SourceImage, target: str, folder: Path) -> Result:
        with decoded(image) as content:
            shape = content.pixels.shape[:2]
            crops = []
            for row in rows[image.name]:
                where = f"{table.name}, line {row.line}"
                window = _window(row.centre, row.box, shape, settings, f"{where}: {image.name}")
                class_folder = objects.folder_of(row)
                crops.append(_Crop(row.number, window, objects.columns_of(row), class_folder))
            return _write(image, content, crops, target, folder)

    parameters = {
        **asdict(settings),
        **asdict(mapping),
        "pixel_size": pixel_size,
        "table": objects.digest,
    }
    return Verb("crop", parameters, plan, make, objects.manifest_columns)


def _crop_by_masks(masks: str | os.PathLike[str], settings: _Settings) -> Verb:
    files = find_images(masks).images
    pairs: dict[str, SourceImage] = {}

    def plan(images: Sequence[SourceImage]) -> Mapping[str, str]:
        pairs.update(match_masks(files, images))
        return output_stems(images)

    def make(image: SourceImage, target: str, folder: Path) -> Result:
        mask = pairs[image.name]
        with decoded(image) as content:
            height, width = content.pixels.shape[:2]
            labels = read_labels(mask, (height, width))
            crops = []
            for number, box in objects_of(labels):
                where = f"mask {mask.name}, object {number}"
                window = _window(None, box, (height, width), settings, f"{where}: {image.name}")
                crops.append(_Crop(number, window))
            keep = labels if settings.background == "remove" else None
            return _write(image, content, crops, target, folder, keep)

    stats = [(mask.name, mask.path.stat()) for mask in files]
    text = json.dumps([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Verb("crop", {**asdict(settings), "masks": digest}, plan, make)


def _window(
    centre: tuple[float, float] | None,
    box: Box | None,
    shape: tuple[int, int],
    settings: _Settings,
    where: str,
) -> Box | None:
    """Place the window of one object; None if it reaches beyond the image and is dropped."""
    if settings.size is not None:
        if centre is None:
            assert box is not None
            centre = box.centre
        height, width = settings.size
        top, left = (
            floor(middle - (side - 1) / 2 + 0.5)
            for middle, side in zip(centre, settings.size, strict=True)
        )
        outside = any(not -0.5 <= c <= side - 0.5 for c, side in zip(centre, shape, strict=True))
    else:
        assert box is not None
        top, left = box.top - settings.margin, box.left - settings.margin
        height = box.bottom - box.top + 2 * settings.margin
        width = box.right - box.left + 2 * settings.margin
        outside = box.bottom <= 0 or box.right <= 0 or box.top >= shape[0] or box.left >= shape[1]
    if outside:
        raise errors.InvalidInput(
            f"{where} has {shape[0]}x{shape[1]} pixels, and the object lies outside of it",
            "Check that the table belongs to these images; if it is in micrometres, give "
            "--pixel-size.",
        )
    if settings.edge == "shift":
        if height > shape[0] or width > shape[1]:
            raise errors.InvalidInput(
                f"{where} has {shape[0]}x{shape[1]} pixels, less than a crop of {height}x{width}",
                "Choose a smaller crop, or --edge pad.",
            )
        top, left = min(max(top, 0), shape[0] - height), min(max(left, 0), shape[1] - width)
    is_inside = top >= 0 and left >= 0 and top + height <= shape[0] and left + width <= shape[1]
    if settings.edge == "drop" and not is_inside:
        return None
    return Box(top, left, top + height, left + width)


def _write(
    image: SourceImage,
    content: DecodedImage,
    crops: Sequence[_Crop],
    target: str,
    folder: Path,
    labels: NDArray[Any] | None = None,
) -> Result:
    """Write the crops of one image; with `labels`, set the background of each to 0."""
    pixels = content.pixels
    suffix, colour = suffix_for(pixels, image.path), is_colour(image.path)
    outputs = []
    for crop in crops:
        box = crop.window
        if box is None:
            continue
        height, width = box.bottom - box.top, box.right - box.left
        window = cut(pixels, box.top, box.left, height, width)
        if labels is not None:
            is_object = cut(labels, box.top, box.left, height, width) == crop.number
            window = window * is_object[:, :, None].astype(window.dtype)
        name = f"{target}_o{crop.number:04}{suffix}"
        file = name if crop.class_folder is None else f"{crop.class_folder}/{name}"
        write_image(folder / file, window, colour=colour)
        step = f"crop object={crop.number} y={box.top} x={box.left} h={height} w={width}"
        if labels is not None:
            step += " background=removed"
        outputs.append(Output(file=file, transformation=step, columns=dict(crop.columns)))
    notes = list(content.notes)
    if not crops:
        notes.append("no object, so no crop")
    elif len(outputs) < len(crops):
        notes.append(f"left out {counted(len(crops) - len(outputs), 'object')} at the edge")
    return Result(tuple(outputs), tuple(notes))


def _names(columns: str | Sequence[str] | None) -> tuple[str, ...]:
    if columns is None:
        return ()
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _check(
    settings: _Settings,
    table: str | os.PathLike[str] | None,
    masks: str | os.PathLike[str] | None,
) -> None:
    if (table is None) == (masks is None):
        raise errors.InvalidInput(
            "crop needs a table of objects or label masks, one of the two",
            "Give either --table FILE.csv or --masks DIR.",
        )
    if settings.size is not None and min(settings.size) < 1:
        raise errors.InvalidInput("size must be at least 1", "Give a positive number.")
    if settings.margin < 0:
        raise errors.InvalidInput(f"margin is {settings.margin}", "Give 0 or a positive number.")
    if settings.margin and settings.size is not None:
        raise errors.InvalidInput(
            "margin is for crops of the objects' own size", "Give --margin or --size, not both."
        )
    if settings.edge not in get_args(Edge):
        raise errors.InvalidInput(
            f"unknown edge policy {settings.edge!r}", "Use pad, shift or drop."
        )
    if settings.background not in get_args(Background):
        raise errors.InvalidInput(
            f"unknown background {settings.background!r}", "Use keep or remove."
        )
    if settings.background == "remove" and masks is None:
        raise errors.InvalidInput(
            "the background can only be removed with label masks", "Give --masks DIR."
        )


def _refuse_table_options(**options: object) -> None:
    """Refuse options that describe a table when there is none."""
    for name, value in options.items():
        if value:
            option = name.replace("_", "-")
            raise errors.InvalidInput(
                f"{option} describes a table of objects", f"Leave --{option} out with --masks."
            )
