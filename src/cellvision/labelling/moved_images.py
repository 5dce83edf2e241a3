"""The images of a labelling session that were moved since its start."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cellvision import errors
from cellvision.data.missing_path import why_missing
from cellvision.data.threaded_map import in_threads
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.labelling.plan import ImageToLabel, Plan
from cellvision.plain_settings import by_distribution
from cellvision.plurals import counted
from cellvision.remote import is_address
from cellvision.results.moved_images import is_missing

IF_MOVED = "Restore them, or say where they are now: --session-images FOLDER"
EXAMPLES_IF_MOVED = "Restore them, or say where the images of the run are now: --run-images FOLDER"


def plan_dataset(plan: Plan) -> Dataset:
    """Create the data set of a plan."""
    settings = dict(by_distribution(plan.experiment["dataset"], Dataset, plan.plugins))
    created: Dataset = datasets.create(settings.pop("type"), **settings)
    return created


def with_images_at(
    plan: Plan, images: str | os.PathLike[str] | None, run_images: str | os.PathLike[str] | None
) -> Plan:
    """Return a plan whose images are read where they are now.

    Parameters
    ----------
    plan
        The plan.
    images
        Where the images of the session are now; None: where they were at its start.
    run_images
        Where the training images of the run are now that a session of unlabelled images shows as
        examples; None: where they were.

    Raises
    ------
    errors.FolderError
        Images are missing there; the first is named.
    errors.InvalidInput
        The session shows no images of a run.
    """
    if run_images is not None:
        if plan.folder is None or not plan.experiment:
            raise errors.InvalidInput(
                "--run-images: this session shows no images of a run beside its own",
                "Say where its images are now: --session-images FOLDER",
            )
        plan = _with_dataset_at(plan, run_images, plan.examples)
    if images is None:
        return plan
    if plan.folder is None:
        return _with_dataset_at(plan, images, [*plan.images, *plan.practice, *plan.examples])
    folder = Path(_place(images))
    missing = in_threads(lambda image: not (folder / image.image).exists(), plan.images)
    _raise_if_any(missing, plan.images, images)
    return replace(plan, folder=str(folder))


def raise_if_moved(plan: Plan, file: Path) -> None:
    """Refuse a session whose images are no longer where they were at its start.

    Parameters
    ----------
    plan
        Its plan.
    file
        The answer file, for the error.

    Raises
    ------
    errors.FolderError
        The folder of the images is not there.
    """
    if plan.folder is not None:
        _raise_if_gone(Path(plan.folder), f"the images of {file}", IF_MOVED)
    if plan.experiment and (plan.folder is None or plan.examples):
        path = getattr(plan_dataset(plan), "path", None)
        what = "images" if plan.folder is None else "examples"
        hint = IF_MOVED if plan.folder is None else EXAMPLES_IF_MOVED
        if isinstance(path, Path):
            _raise_if_gone(path, f"the {what} of {file}", hint)


def _raise_if_gone(path: Path, what: str, hint: str) -> None:
    if not path.exists():
        reason = why_missing(path, "there is no such folder")
        raise errors.FolderError(f"{path}: {reason}, so {what} are not there", hint)


def _with_dataset_at(
    plan: Plan, place: str | os.PathLike[str], images: Sequence[ImageToLabel]
) -> Plan:
    dataset = plan_dataset(plan).relocated(_place(place))
    if hasattr(dataset, "locate") and not is_address(place):
        missing = in_threads(lambda image: is_missing(dataset, image.image), images)
        _raise_if_any(missing, images, place)
    settings = dataset.model_dump(mode="json")
    return replace(plan, experiment={**plan.experiment, "dataset": settings})


def _place(place: str | os.PathLike[str]) -> str | Path:
    """Return an address as it is, and a path as an absolute one that exists."""
    if is_address(place):
        return place
    path = Path(place).expanduser().absolute()
    if not path.exists():
        reason = why_missing(path, "there is no such folder")
        raise errors.FolderError(f"{path}: {reason}", "Name the folder that holds the images now.")
    return path


def _raise_if_any(
    missing: Iterable[bool], images: Sequence[ImageToLabel], place: str | os.PathLike[str]
) -> None:
    absent = [image.image for image, gone in zip(images, missing, strict=True) if gone]
    if absent:
        raise errors.FolderError(
            f"{place}: {len(absent)} of the {counted(len(images), 'image')} of the session "
            f"{'is' if len(absent) == 1 else 'are'} missing, first: {absent[0]}",
            "Name the folder in which they have the same names as at the start",
        )
