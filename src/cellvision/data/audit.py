"""Everything that can be known of the images before a network sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.data.catalog import Catalog, listed
from cellvision.data.image_stats import ImageStats, Progress, digests, scan
from cellvision.data.leaks import Leak, find_leaks
from cellvision.data.near_duplicates import NearDuplicate, find_near_duplicates, warnings_of
from cellvision.data.split import Split

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.interfaces.dataset import Dataset

_SATURATED = 0.001
"""Share of saturated samples from which an image is pointed out."""


@dataclass(frozen=True)
class FileRecord:
    """One file of the data set; every file is listed once.

    ``status`` is ``read``, ``skipped`` (no image, or left out by a setting) or ``refused`` (an
    image that cannot be decoded); ``reason`` says why, or what was applied while reading.
    """

    file: str
    status: str
    reason: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    bit_depth: int | None = None
    low: float | None = None
    high: float | None = None
    saturated_fraction: float | None = None


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes
    ----------
    class_names : tuple of str
        The classes, sorted.
    counts : dict
        Images by split and class.
    group_column : str or None
        The provenance that names the independent unit.
    groups : dict
        Units by split (images, where the unit is unknown).
    files : tuple of FileRecord
        Every file once.
    leaks : tuple of Leak
        What splits share.
    near_duplicates : tuple of NearDuplicate
        Images of different splits that look like copies of one another; never refused.
    warnings : tuple of str
        What a reader should know, a line each.
    """

    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    group_column: str | None
    groups: dict[str, int]
    files: tuple[FileRecord, ...]
    leaks: tuple[Leak, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give plain values, as ``cellvision audit --json`` prints them."""
        return {
            "class_names": list(self.class_names),
            "counts": self.counts,
            "group_column": self.group_column,
            "groups": self.groups,
            "files": [
                {**asdict(file), "shape": None if file.shape is None else list(file.shape)}
                for file in self.files
            ],
            "leaks": [leak.to_json() for leak in self.leaks],
            "warnings": list(self.warnings),
        }


def audit(source: Experiment | Dataset, progress: Progress | None = None) -> Audit:
    """Read every file of a data set and tell what is there.

    Nothing is changed, and neither unreadable files nor leaks stop it: they are what it is
    for.

    Parameters
    ----------
    source
        An experiment, or a data set with everything else by default.
    progress
        Told how many images are decoded, of how many.

    Raises
    ------
    errors.CatalogError
        The table of images breaks a rule.

    Examples
    --------
    >>> import cellvision as cv
    >>> found = cv.audit(cv.datasets.create("folder", path="images"))  # doctest: +SKIP
    >>> found.counts  # doctest: +SKIP
    {'train': {'control': 52, 'treated': 51}, ...}
    """
    from cellvision.interfaces.dataset import Dataset

    if isinstance(source, Dataset):
        dataset, split = source, Split()
    else:
        dataset, split = source.dataset, source.split
    catalog = Catalog.of(dataset)
    stats = scan(dataset, list(catalog.table["image"]), progress)
    # As in a training, images that cannot be read count in no split.
    read = [stat.status == "read" for stat in stats]
    catalog = replace(catalog, table=catalog.table[read].reset_index(drop=True))
    catalog, warnings = _split_where_possible(catalog, split, stats)
    return build_audit(dataset, catalog, stats, warnings)


def _split_where_possible(
    catalog: Catalog, split: Split, stats: Sequence[ImageStats]
) -> tuple[Catalog, list[str]]:
    """Split a catalog; where that cannot be done, leave it whole and say why."""
    if len(catalog) == 0:
        return catalog, ["Not one image can be read."]
    try:
        return split.apply(catalog, digests(stats)), []
    except errors.SplitError as error:
        told = [f"These images cannot be split as asked: {error.what}."]
        if catalog.has_splits:
            return catalog, told
        return replace(catalog, table=catalog.table.assign(split="train")), told


def build_audit(
    dataset: Dataset,
    catalog: Catalog,
    stats: Sequence[ImageStats],
    warnings: Sequence[str] = (),
    most_comparisons: int | None = None,
) -> Audit:
    """Put together what is known of a split catalog and its images' stats.

    Parameters
    ----------
    dataset, catalog, stats
        The images.
    warnings
        What is known already.
    most_comparisons
        How many pairs of images are compared at most in search of near-duplicates; where there
        are more, none is searched for. None always searches.
    """
    listed_files = [_of_facts(stat) for stat in stats]
    known = {file.file for file in listed_files}
    passed = [over for over in dataset.skipped_files() if over.file not in known]
    listed_files += [FileRecord(over.file, "skipped", over.reason) for over in passed]
    listed_files += [FileRecord(file, "skipped", why) for file, why in catalog.left_out.items()]
    leaks = find_leaks(catalog, stats)
    alike = find_near_duplicates(catalog, stats, most_comparisons)
    told = [*catalog.warnings, *warnings, *image_warnings(catalog, stats), *warnings_of(alike)]
    others = [over.file for over in passed if not over.expected]
    if others:
        told.append(
            f"{len(others)} file(s) were passed over, such as {others[0]!r} (see the audit)."
        )
    return Audit(
        catalog.class_names,
        catalog.counts(),
        catalog.group_column,
        group_counts(catalog),
        tuple(listed_files),
        leaks,
        alike,
        tuple(told),
    )


def group_counts(catalog: Catalog) -> dict[str, int]:
    """How many independent units each split has; images, where the unit is unknown."""
    table = catalog.table
    unit = "image" if catalog.group_column is None else "group"
    return {
        split: int(table.loc[table["split"] == split, unit].nunique()) for split in catalog.splits()
    }


def _of_facts(stat: ImageStats) -> FileRecord:
    row = stat.to_json()
    del row["digest"], row["sketch"]
    return FileRecord(row.pop("image"), **row)


def image_warnings(catalog: Catalog, stats: Sequence[ImageStats]) -> list[str]:
    """What the images and their division should make a reader wary of, a line each."""
    read = [stat for stat in stats if stat.status == "read"]
    refused = len(stats) - len(read)
    told = []
    if refused:
        told.append(f"{refused} image(s) cannot be read.")
    for split, counts in catalog.counts().items():
        absent = [name for name, count in counts.items() if count == 0]
        if absent:
            told.append(f"Split {split!r} has no image of class {listed(absent)}.")
    # Black and white is taken in as uint8, so it goes with that.
    dtypes = Counter("uint8" if stat.dtype == "bool" else stat.dtype for stat in read)
    if len(dtypes) > 1:
        mixed = ", ".join(f"{count} {dtype}" for dtype, count in dtypes.most_common())
        told.append(f"Images differ in pixel type ({mixed}): one factor cannot scale them all.")
    told += _confounded(catalog, read)
    saturated = sum((stat.saturated_fraction or 0) > _SATURATED for stat in read)
    if saturated:
        told.append(
            f"{saturated} image(s) have more than {_SATURATED:.1%} of their samples saturated."
        )
    flat = [stat.image for stat in read if stat.low == stat.high]
    if flat:
        told.append(f"{len(flat)} image(s) are one flat intensity, such as {flat[0]!r}.")
    told += _repeated(catalog, read)
    return told


def _repeated(catalog: Catalog, read: Sequence[ImageStats]) -> list[str]:
    """Images with the pixels of another one; worst where their labels differ."""
    same: dict[str, list[str]] = {}
    for stat in read:
        same.setdefault(stat.digest, []).append(stat.image)
    told = []
    repeats = len(read) - len(same)
    if repeats:
        told.append(f"{repeats} image(s) repeat the pixels of another one.")
    label = dict(zip(catalog.table["image"], catalog.table["label"], strict=True))
    torn = [
        images
        for images in same.values()
        if len({label[image] for image in images if image in label}) > 1
    ]
    told += [f"Identical images have different labels: {listed(images, 4)}." for images in torn[:5]]
    if len(torn) > 5:
        told.append(f"{len(torn) - 5} more groups of identical images have different labels.")
    return told


def _confounded(catalog: Catalog, read: Sequence[ImageStats]) -> list[str]:
    """Properties of the files that tell the class: a network would learn those."""
    label = dict(zip(catalog.table["image"], catalog.table["label"], strict=True))
    told = []
    properties: tuple[tuple[str, Callable[[ImageStats], Any]], ...] = (
        ("image size", lambda stat: (stat.shape or ())[:2]),
        ("number of channels", lambda stat: (stat.shape or ())[2:]),
        ("bit depth", lambda stat: stat.bit_depth),
        ("file format", lambda stat: PurePosixPath(stat.image).suffix.lower()),
    )
    for what, of in properties:
        by_class: dict[str, set[Any]] = {}
        for stat in read:
            if stat.image in label:
                by_class.setdefault(label[stat.image], set()).add(of(stat))
        values = list(by_class.values())
        overlap = any(a & b for i, a in enumerate(values) for b in values[i + 1 :])
        if len(values) > 1 and len(set.union(*values)) > 1 and not overlap:
            told.append(f"The {what} alone tells the classes apart: no class shares it.")
    return told
