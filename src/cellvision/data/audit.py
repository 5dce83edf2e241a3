"""Audit: everything that can be known about the images before a network sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from cellvision import errors, notebook_html
from cellvision.data.audit_images import AuditImages
from cellvision.data.batch_confounding import (
    BatchCounts,
    association_warnings,
    batch_warnings,
    count_batches,
)
from cellvision.data.batch_reads import scan
from cellvision.data.catalog import Catalog, is_training
from cellvision.data.class_differences import MASK_NAMES
from cellvision.data.image_stats import ImageStats, digests, summarize_notes
from cellvision.data.image_warnings import image_warnings
from cellvision.data.intensity import intensity_warnings, training_range
from cellvision.data.leaks import Leak, find_leaks
from cellvision.data.names import quote_list
from cellvision.data.near_duplicates import NearDuplicate, find_near_duplicates, warnings_of
from cellvision.data.pixel_cache import MixedDtypesError, StoredPixels, open_pixels
from cellvision.data.preprocessing import Preprocessing
from cellvision.data.preprocessing_warnings import preprocessing_warnings
from cellvision.data.split import Split
from cellvision.data.threaded_map import Progress
from cellvision.interfaces.dataset import SkippedFile
from cellvision.plurals import counted
from cellvision.progress import displayed

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.interfaces.dataset import Dataset
    from cellvision.interfaces.plots import AuditPlots


_MOST_REASONS = 4
"""Reasons for skipping files of which a warning gives an example."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of the data set; every file is listed once.

    Attributes
    ----------
    file : str
        The file, relative to the data set.
    status : {"read", "skipped", "refused"}
        ``skipped``: not an image, or left out by a setting; ``refused``: cannot be decoded.
    reason : str
        Why; for an image that was read, what reading applied or left out.
    shape : tuple of int or None
        Height, width and channels.
    dtype : str or None
        The native dtype.
    bit_depth : int or None
        Bits per sample, as the file declares.
    low, high : float or None
        The smallest and largest intensity.
    saturated_fraction : float or None
        Fraction of samples at the largest value that the bit depth allows.
    digest : str or None
        Digest of the pixels; see `cellvision.io.pixel_digest`.
    """

    file: str
    status: Literal["read", "skipped", "refused"]
    reason: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    bit_depth: int | None = None
    low: float | None = None
    high: float | None = None
    saturated_fraction: float | None = None
    digest: str | None = None

    @classmethod
    def of(cls, stats: ImageStats) -> FileRecord:
        """Describe an image by its statistics."""
        names = [field.name for field in fields(cls) if field.name != "file"]
        return cls(stats.image, **{name: getattr(stats, name) for name in names})


@dataclass(frozen=True, repr=False)
class Audit:
    """What an audit found.

    Attributes
    ----------
    class_names : tuple of str
        The classes, sorted.
    counts : dict
        Images by split and class.
    group_column : str or None
        The provenance column that names the group; None if groups are unknown.
    groups : dict
        Groups by split (images if groups are unknown).
    batch : BatchCounts or None
        Groups by batch and class; None if batches are unknown.
    files : tuple of FileRecord
        Every file once.
    leaks : tuple of Leak
        What splits share.
    near_duplicates : tuple of NearDuplicate
        Images of different splits that look like copies of each other; never refused.
    warnings : tuple of str
        What a reader should know, one line each.
    """

    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    group_column: str | None
    groups: dict[str, int]
    batch: BatchCounts | None
    files: tuple[FileRecord, ...]
    leaks: tuple[Leak, ...]
    near_duplicates: tuple[NearDuplicate, ...] = ()
    warnings: tuple[str, ...] = ()

    _images: ClassVar[AuditImages | None] = None

    @property
    def images(self) -> AuditImages:
        """The images that could be read, to look at.

        Raises
        ------
        errors.InvalidInput
            The audit was read from a file, which holds no images.
        """
        if self._images is None:
            raise errors.InvalidInput(
                "this audit was read from a file, so its images are not at hand",
                "Audit the images again: cellvision.audit(...)",
            )
        return self._images

    @property
    def plot(self) -> AuditPlots:
        """Its figures: ``audit.plot.sheet()`` and ``.intensities()``."""
        from cellvision.interfaces.plots import AuditPlots

        return AuditPlots(self)

    def copy(self) -> Audit:
        """Return an audit whose tables of counts are its own; what cannot change is shared."""
        batch = self.batch
        if batch is not None:
            batch = replace(batch, counts=_copied(batch.counts))
        copied = replace(self, counts=_copied(self.counts), groups=dict(self.groups), batch=batch)
        object.__setattr__(copied, "_images", self._images)
        return copied

    def __repr__(self) -> str:
        images = sum(sum(by_class.values()) for by_class in self.counts.values())
        groups = f"{counted(sum(self.groups.values()), 'group')} ({self.group_column})"
        return (
            f"<Audit: {counted(images, 'image')} of {len(self.class_names)} classes in "
            f"{'/'.join(self.counts) or 'no split'}, "
            f"{groups if self.group_column else 'groups unknown'}, "
            f"{counted(len(self.leaks), 'leak')}, "
            f"{counted(len(self.near_duplicates), 'near-duplicate')}, "
            f"{counted(len(self.warnings), 'warning')}>"
        )

    def _repr_html_(self) -> str:
        rows: list[list[object]] = [
            [name, *(by_class[name] for by_class in self.counts.values())]
            for name in self.class_names
        ]
        rows.append(["all images", *(sum(by_class.values()) for by_class in self.counts.values())])
        rows.append([f"groups ({self.group_column or 'unknown'})", *self.groups.values()])
        unused = [file for file in self.files if file.status != "read"]
        return notebook_html.document(
            "Audit",
            notebook_html.table(["class", *self.counts], rows),
            notebook_html.notes("Leaks", (str(leak) for leak in self.leaks)),
            notebook_html.notes("Warnings", self.warnings),
            notebook_html.notes(
                "Files not used", (f"{file.file}: {file.reason}" for file in unused)
            ),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, JsonValue]) -> Audit:
        """Read what `to_json` wrote, such as the content of a run's ``audit.json``.

        Raises
        ------
        errors.InvalidInput
            A key is missing or has a value of another type.
        """
        try:
            return TypeAdapter(cls).validate_python(content)
        except ValidationError as error:
            details = error.errors()[0]
            path = "".join(f"{part}: " for part in [".".join(map(str, details["loc"]))] if part)
            raise errors.InvalidInput(
                f"this is no audit: {path}{details['msg']}",
                "Restore the file, or run cellvision audit --json again",
            ) from None

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values, as ``cellvision audit --json`` prints them."""
        content: dict[str, JsonValue] = TypeAdapter(Audit).dump_python(self, mode="json")
        return content

    def to_json_text(self) -> str:
        """Return `to_json` as the text of ``audit.json``; infinite numbers and NaN become null."""
        return TypeAdapter(Audit).dump_json(self, indent=2).decode() + "\n"


def _copied(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {name: dict(by_class) for name, by_class in counts.items()}


def audit(source: Experiment | Dataset, *, progress: bool | None = None) -> Audit:
    """Audit the images of an experiment or a data set, as `cellvision.audit` documents."""
    from cellvision.interfaces.dataset import Dataset

    if isinstance(source, Dataset):
        dataset, split, preprocessing = source, Split(), Preprocessing()
    else:
        dataset, split, preprocessing = source.dataset, source.split, source.preprocessing
    catalog = Catalog.of(dataset)
    with displayed(progress) as display:
        stored, stats, warnings = _read_images(dataset, catalog, preprocessing, display.decoded)
    # As in training, images that cannot be read count in no split.
    read = [stat.status == "read" for stat in stats]
    catalog = replace(catalog, table=catalog.table[read].reset_index(drop=True))
    catalog, split_warnings = _split_if_possible(catalog, split, stats)
    if stored is not None:
        warnings += _intensity_warnings(preprocessing, stored, catalog)
    if source is not dataset:  # a bare data set has not been given any preprocessing
        warnings += preprocessing_warnings(preprocessing, stats)
    report = build_audit(dataset, catalog, stats, [*split_warnings, *warnings])
    # Not a field: an audit is written to files, and its images are not.
    object.__setattr__(report, "_images", AuditImages(dataset, catalog, preprocessing, stored))
    return report


def _read_images(
    dataset: Dataset, catalog: Catalog, preprocessing: Preprocessing, progress: Progress
) -> tuple[StoredPixels | None, Sequence[ImageStats], list[str]]:
    """Measure all images through the cache; without it if they do not fit the preprocessing."""
    images = list(catalog.table["image"])
    try:
        stored = open_pixels(dataset, images, preprocessing, progress)
    except MixedDtypesError:  # `image_warnings` says so
        return None, scan(dataset, images, progress), []
    except errors.PreprocessingError as error:
        warning = f"These settings cannot prepare the images: {error.what}."
        return None, scan(dataset, images, progress), [warning]
    except errors.FolderError:  # the cache cannot be written
        return None, scan(dataset, images, progress), []
    return stored, stored.stats, []


def _split_if_possible(
    catalog: Catalog, split: Split, stats: Sequence[ImageStats]
) -> tuple[Catalog, list[str]]:
    """Split a catalog; if that is impossible, leave it whole and say why."""
    if len(catalog) == 0:
        return catalog, ["No image can be read."]
    try:
        return split.apply(catalog, digests(stats)), []
    except errors.SplitError as error:
        warnings = [f"These images cannot be split as requested: {error.what}. {error.hint}."]
        if catalog.has_splits:
            return catalog, warnings
        return replace(catalog, table=catalog.table.assign(split="train")), warnings


def _intensity_warnings(
    preprocessing: Preprocessing, stored: StoredPixels, catalog: Catalog
) -> list[str]:
    training = [is_training(split) for split in catalog.table["split"]]
    if not any(training):
        return []
    try:
        zero, one = training_range(preprocessing, stored, training)
    except errors.PreprocessingError as error:
        return [f"These settings cannot prepare the images: {error.what}. {error.hint}."]
    return intensity_warnings(preprocessing, stored, training, zero, one)


def build_audit(
    dataset: Dataset,
    catalog: Catalog,
    stats: Sequence[ImageStats],
    warnings: Sequence[str] = (),
    most_comparisons: int | None = None,
) -> Audit:
    """Assemble an audit from a split catalog and the statistics of its images.

    Parameters
    ----------
    dataset, catalog, stats
        The images.
    warnings
        What is known already.
    most_comparisons
        Skip the search for near-duplicates if it would compare more pairs of images than this;
        None always searches.
    """
    files = {stat.image: FileRecord.of(stat) for stat in stats}
    skipped = [file for file in _skipped_files(dataset) if file.file not in files]
    files |= {file.file: FileRecord(file.file, "skipped", file.reason) for file in skipped}
    for image, reason in catalog.left_out.items():
        files.setdefault(image, FileRecord(image, "skipped", reason))
    near_duplicates = find_near_duplicates(catalog, stats, most_comparisons)
    batch = count_batches(catalog)
    lines = [
        *catalog.warnings,
        *batch_warnings(batch),
        *association_warnings(catalog),
        *warnings,
        *image_warnings(catalog, stats),
        *map(str, summarize_notes(stats)),
        *warnings_of(near_duplicates, stats),
    ]
    unexpected = {file.file: file.reason for file in skipped if not file.expected}
    lines += _skipped_folders(unexpected, dataset.classes)
    lines += _skipped({name: unexpected[name] for name in unexpected if not name.endswith("/")})
    return Audit(
        catalog.class_names,
        catalog.counts(),
        catalog.group_column,
        catalog.group_counts(),
        batch,
        tuple(files.values()),
        find_leaks(catalog, stats),
        near_duplicates,
        tuple(lines),
    )


def _skipped_files(dataset: Dataset) -> list[SkippedFile]:
    returned: Any = dataset.skipped_files()
    skipped: list[Any] = list(returned) if isinstance(returned, Iterable) else [returned]
    wrong = [file for file in skipped if not isinstance(file, SkippedFile)]
    if not wrong:
        return skipped
    raise errors.PluginContractError(
        f"{dataset.registry.origin_of(type(dataset))}: skipped_files() returned "
        f"{wrong[0]!r:.80}, not a list of cellvision.SkippedFile",
        "Return [SkippedFile(file, reason)]. Its author can test it: cellvision check.",
    )


def _skipped_folders(reasons: Mapping[str, str], classes: Sequence[str] | None) -> Iterator[str]:
    """Name the skipped folders, by reason; those that a setting or their name leaves out are not.

    An empty folder called like one of label masks is no missing class.
    """
    by_reason: dict[str, list[str]] = {}
    for folder in (name.rstrip("/") for name in reasons if name.endswith("/")):
        name = folder.rpartition("/")[2]
        if (classes is None or name in classes) and name.casefold() not in MASK_NAMES:
            by_reason.setdefault(reasons[f"{folder}/"], []).append(folder)
    for reason, names in by_reason.items():
        folders = "Folder {} was" if len(names) == 1 else "Folders {} were"
        yield f"{folders.format(quote_list(names))} skipped: {reason}."


def _skipped(reasons: Mapping[str, str]) -> list[str]:
    """Say in one line how many files were skipped, with an example of each reason."""
    if not reasons:
        return []
    examples: dict[str, str] = {}
    for file, reason in reasons.items():
        # Of "not an image: .txt" and "not an image: .db", one is enough.
        examples.setdefault(reason.partition(":")[0], f"{file!r} ({reason})")
    listed = ", ".join(list(examples.values())[:_MOST_REASONS])
    more = ", ..." if len(examples) > _MOST_REASONS else ""
    such_as = ", such as " if len(reasons) > len(examples) else ": "
    return [f"{counted(len(reasons), 'file', 'was')} skipped{such_as}{listed}{more}."]
