"""Plan the labelling of a folder of images without classes."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.file_search import walk_files
from cellvision.data.files import IMAGE_SUFFIXES, read_image
from cellvision.data.folder_walk import printable
from cellvision.data.image_stats import ImageStats, measure, summarize_notes
from cellvision.data.missing_path import why_missing
from cellvision.data.names import quote_list
from cellvision.data.threaded_map import in_threads
from cellvision.digests import pixel_digest
from cellvision.labelling.display_range import SAMPLE, display_for, stretched_display
from cellvision.labelling.keys import assign_keys
from cellvision.labelling.plan import Display, ImageToLabel, Plan
from cellvision.labelling.plan_experiment import data_plugins, data_settings
from cellvision.labelling.rules import Rules
from cellvision.labelling.uncertainty import raise_if_tested, rank_unlabelled
from cellvision.plurals import counted
from cellvision.results.recorded_dataset import recorded_dataset

if TYPE_CHECKING:
    from cellvision import Run
    from cellvision.data.threaded_map import Progress


_log = logging.getLogger(__name__)


def parse_classes(options: Sequence[str]) -> tuple[str, ...]:
    """Parse ``--classes a,b``, which may repeat.

    Raises
    ------
    errors.InvalidInput
        There are fewer than two classes, one occurs twice, or one has control characters.
    """
    names = [
        unicodedata.normalize("NFC", name.strip())
        for option in options
        for name in option.split(",")
    ]
    hint = "For example --classes control,treated"
    if len(names) < 2 or not all(names):
        raise errors.InvalidInput(
            f"--classes {','.join(options)}: expected at least two names", hint
        )
    for name in names:
        if sum(other.casefold() == name.casefold() for other in names) > 1:
            raise errors.InvalidInput(f"--classes names {name!r} twice", hint)
        if not name.isprintable():
            raise errors.InvalidInput(f"--classes: {name!r} has control characters", hint)
    assign_keys(names)
    return tuple(names)


def find_images(root: Path) -> list[str]:
    """List the image files below a folder, as sorted POSIX paths relative to it.

    They are the files that `predict` finds; others, unless hidden, are skipped with a warning.

    Raises
    ------
    errors.FolderError
        The folder is missing or has no image.
    """
    if not root.is_dir():
        raise errors.FolderError(
            f"{root}: {why_missing(root, 'there is no such folder')}", "Name a folder of images"
        )
    files = [(path.relative_to(root), is_image) for path, is_image in walk_files(root)]
    names = [path.as_posix() for path, is_image in files if is_image]
    others = [printable(path) for path, is_image in files if not is_image]
    if others:
        _log.warning(
            "%s skipped, no image: %s", counted(len(others), "file", "is"), quote_list(others, 3)
        )
    if not names:
        raise errors.FolderError(
            f"{root}: there is no image in this folder",
            f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    return sorted(names)


def plan_folder(
    root: Path,
    class_names: tuple[str, ...],
    rules: Rules,
    run: Run | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan the labelling of unlabelled images, at any depth below a folder.

    Parameters
    ----------
    root
        The folder.
    class_names
        The classes to choose from.
    rules
        How the session proceeds.
    run
        Shows the images on which this run is most uncertain first, and examples of its training
        images; None for random order.
    progress
        Called with the number of images decoded and their total.

    Raises
    ------
    errors.InvalidInput
        A rule needs labelled images; or an image does not fit the run's preprocessing.
    errors.UnreadableImages
        Files cannot be decoded.
    errors.LeakError
        `run` was tested on one of the images.
    """
    rules.check()
    if rules.splits or rules.practice:
        raise errors.InvalidInput(
            "--split and --practice need images whose class is known",
            "Omit them, or label an experiment (without --classes)",
        )
    names = find_images(root)
    root = root.resolve()
    stats = list(in_threads(lambda name: _stats(root, name), names, progress))
    unreadable = [
        errors.UnreadableImage(entry.image, entry.reason) for entry in stats if not entry.digest
    ]
    if unreadable:
        failure = errors.UnreadableImages(unreadable)
        failure.hint = "Repair them or move them to another folder"
        raise failure
    for summary in summarize_notes(stats):
        if summary.warning:
            _log.warning("%s", summary)
    images = [ImageToLabel(entry.image, "", None, None, entry.digest) for entry in stats]
    if run is not None:
        raise_if_tested(run, _as_read_by(run, root, images), progress)
        images = rank_unlabelled(run, root, images)[: rules.images]
    elif rules.images is not None and rules.images < len(images):
        sample = np.random.default_rng(rules.seed).permutation(len(images))[: rules.images]
        images = [images[position] for position in sorted(sample)]
    return Plan(
        {} if run is None else data_settings(run.experiment),
        str(root),
        None if run is None else str(run.folder.resolve()),
        rules,
        class_names,
        _display(root, stats, run),
        tuple(images),
        examples=() if run is None else _examples(run, class_names, rules),
        plugins={} if run is None else data_plugins(run.experiment),
    )


def _stats(root: Path, name: str) -> ImageStats:
    return measure(name, lambda: read_image(root / name))[0]


def _as_read_by(run: Run, root: Path, images: Sequence[ImageToLabel]) -> list[ImageToLabel]:
    """Return images with the digests of their pixels as the run's data set reads them."""
    dataset = recorded_dataset(run.metadata)

    def read(image: ImageToLabel) -> ImageToLabel:
        try:
            pixels = np.asarray(dataset.decode_file(root / image.image).pixels)
        except errors.CellvisionError:  # ranking the images will say why
            return image
        return replace(image, digest=pixel_digest(pixels))

    return list(in_threads(read, images))


def _examples(run: Run, class_names: Sequence[str], rules: Rules) -> tuple[ImageToLabel, ...]:
    """Training images of the run, of the classes that are to be labelled, if unchanged since."""
    from cellvision.data.batch_reads import scan
    from cellvision.results.run_images import recorded_digests

    recorded = recorded_digests(run)

    table = run.predictions
    table = table[(table["split"] == run.training_split) & table["label"].isin(class_names)]
    table = table.sample(frac=1, random_state=rules.seed).groupby("label").head(rules.examples)
    table = table.sort_values("label", kind="stable")
    stats = scan(run.dataset, list(table["image"]))
    return tuple(
        ImageToLabel(image, str(run.training_split), None, label, entry.digest)
        for image, label, entry in zip(table["image"], table["label"], stats, strict=True)
        if entry.digest and recorded.get(image, entry.digest) == entry.digest
    )


def _display(root: Path, stats: Sequence[ImageStats], run: Run | None) -> Display:
    from cellvision.data.preprocessing import Preprocessing

    low = min(entry.low for entry in stats if entry.low is not None)
    high = max(entry.high for entry in stats if entry.high is not None)
    if run is not None:
        full = run.intensity_range
        if run.preprocessing.intensity == "per_image":
            return stretched_display(full, low, high)
    elif low < 0 or high > np.iinfo(np.uint16).max or any("float" in str(f.dtype) for f in stats):
        full = (low, high if high > low else low + 1)
    elif all(entry.dtype == "bool" for entry in stats):
        full = (0.0, 255.0)  # as black and white images are displayed
    else:
        full = Preprocessing().intensity_range(np.dtype(np.uint16), low, high)
    step = max(len(stats) // SAMPLE, 1)
    sample = [read_image(root / entry.image).pixels for entry in stats[::step]]
    return display_for(full, [p.astype(np.uint8) * 255 if p.dtype == bool else p for p in sample])
