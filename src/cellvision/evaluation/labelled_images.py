"""The labelled images of an evaluation: their data set, classes, groups and test sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from cellvision import defaults, errors
from cellvision.data.catalog import Catalog, is_test
from cellvision.data.catalog_rules import read_table
from cellvision.data.file_search import walk_files
from cellvision.data.files import IMAGE_SUFFIXES
from cellvision.inference.image_reader import run_dataset
from cellvision.inference.recognised_source import dataset_like, recognised_source
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.merged_settings import table_of
from cellvision.plurals import agreed, counted
from cellvision.remote import is_address
from cellvision.results.run import Run


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Labelled images to evaluate networks on.

    Attributes
    ----------
    source : str
        Where they are: a path, an address, or the name of the data set.
    dataset : Dataset
        The data set that reads them.
    catalog : Catalog
        Their classes, groups and batches. Every image has a split, which is a test set; the
        classes are those of the network.
    settings : dict
        The data set as plain values.
    warnings : tuple of str
        What a reader of the scores should know.
    """

    source: str
    dataset: Dataset
    catalog: Catalog
    settings: dict[str, Any]
    warnings: tuple[str, ...]


def labelled_images(
    run: Run, images: str | os.PathLike[str] | Dataset, dataset: str | None = None
) -> LabelledImages:
    """List labelled images, with groups and batches from the columns that the run used.

    Parameters
    ----------
    run
        A run of the network.
    images
        A folder with class folders or another path that a data set reads, or a data set.
    dataset
        Name of the data set that reads the path; None: the one that recognises it, else that of
        the run, else the default one.

    Raises
    ------
    errors.CatalogError
        An image is of a class that the network does not know, or the table of images breaks a rule.
    errors.FolderError
        There is no such folder, or it has no class folders.
    """
    if isinstance(images, Dataset):
        source = str(getattr(images, "path", None) or datasets.name_of(type(images)))
    else:
        source = os.fspath(images)
        _refuse_single_image(run, source)
        images = _dataset(run, source) if dataset is None else dataset_like(run, dataset, source)
    try:
        images, warnings = _with_columns_of(run, images)
        catalog = Catalog.of(images, run.class_names)
    except errors.FolderError as error:
        if _lacks_class_folders(source):
            raise _no_labels(run, source, "its images are not in class folders") from error
        raise
    except errors.CatalogError as error:
        raise errors.CatalogError(f"{source}: {error.what}", error.hint) from error
    catalog = _with_test_sets(catalog, source)
    settings = images.model_dump(mode="json")
    warnings += _groups_of_training(run, catalog)
    return LabelledImages(source, images, catalog, settings, tuple(warnings))


def name_of(source: str) -> str:
    """Return the last part of a path or address, by which its test set is called."""
    return PurePath(source.replace("\\", "/").rstrip("/")).name or "images"


def _dataset(run: Run, source: str) -> Dataset:
    """Return the data set that reads a path: one that recognises it, the run's, or the default."""
    recognised = recognised_source(source, run)
    if recognised is not None:
        return recognised
    own = run_dataset(run)
    trained_on = getattr(own, "path", None)
    # A data set that reads a table or a container cannot read a folder of images.
    if trained_on is None or (Path(source).is_dir() and PurePath(str(trained_on)).suffix):
        return dataset_like(run, datasets.default(defaults.DATASET), source)
    name = str(table_of(run.metadata.experiment, "dataset")["type"])
    return dataset_like(run, name, source)


def _with_columns_of(run: Run, dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Take groups and batches from the columns of the training, where the images have them."""
    trained = table_of(run.metadata.experiment, "dataset")
    columns = set(read_table(dataset).columns)
    warnings: list[str] = []
    changes: dict[str, Any] = {}
    for setting in ("group", "batch"):
        recorded: Any = trained.get(setting)
        if getattr(dataset, setting) is not None or not recorded:
            continue
        names = [recorded] if isinstance(recorded, str) else list(recorded)
        missing = [name for name in names if name not in columns]
        if missing:
            warnings.append(
                f"There is no column {missing[0]!r}, which names the {setting} of the training "
                "images: add it to groups.csv."
            )
        else:
            changes[setting] = recorded if isinstance(recorded, str) else tuple(recorded)
    return dataset.model_copy(update=changes), warnings


def _with_test_sets(catalog: Catalog, source: str) -> Catalog:
    """Make every image one of a test set: the split that the data set names, else the folder."""
    splits = catalog.table["split"].fillna(name_of(source))
    named = [name if is_test(name) else f"evaluated_{name}" for name in splits]
    return replace(catalog, table=catalog.table.assign(split=named))


def _groups_of_training(run: Run, catalog: Catalog) -> list[str]:
    """Warn of groups that have the name of a group that the network was trained on.

    Names that a data set makes of file names recur in every folder, and mean nothing.
    """
    named = table_of(run.metadata.experiment, "dataset").get("group")
    if not named or catalog.group_column != run.group_column:
        return []
    known = run.predictions
    if not table_of(run.metadata.experiment, "split").get("splitter"):  # else all, in some fold
        known = known[[not is_test(split) for split in known["split"]]]
    groups = set(catalog.table["group"])
    shared = sorted(groups & set(known["group"].dropna()))
    if not shared:
        return []
    return [
        f"{len(shared)} of {counted(len(groups), 'group')} ({catalog.group_column}) "
        f"{agreed(len(shared), 'has')} the name of a group of the training or validation split, "
        f"such as {shared[0]}. If it is the same one, its images are not independent of the "
        "training."
    ]


def _refuse_single_image(run: Run, source: str) -> None:
    if not is_address(source) and Path(source).suffix.lower() in IMAGE_SUFFIXES:
        raise _no_labels(run, source, "this is a single image")


def _lacks_class_folders(source: str) -> bool:
    """Whether all images of a folder are directly in it."""
    root = Path(source)
    if is_address(source) or not root.is_dir():
        return False
    folders = {path.parent for path, is_image in walk_files(root) if is_image}
    return folders == {root}


def _no_labels(run: Run, source: str, reason: str) -> errors.FolderError:
    return errors.FolderError(
        f"{source}: {reason}, so it has no labels to score",
        f"Make a folder for each class. Without labels: cellvision predict {run.folder} {source} "
        "--out predictions.csv",
    )


def names_of(sources: Sequence[str]) -> list[str]:
    """Return a name for each of several sources, by which their results are called.

    Raises
    ------
    errors.ExperimentError
        Two have the same name.
    """
    names = [name_of(source) for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise errors.ExperimentError(
                f"several folders are called {name!r}",
                "Evaluate them one by one, each with its own --out.",
            )
    return names
