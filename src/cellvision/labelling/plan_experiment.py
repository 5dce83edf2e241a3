"""Plan the labelling of an experiment's images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.data.batch_reads import scan
from cellvision.data.catalog import is_test
from cellvision.data.image_stats import ImageStats
from cellvision.data.names import quote_list
from cellvision.labelling.display_range import SAMPLE, display_for, stretched_display
from cellvision.labelling.keys import assign_keys
from cellvision.labelling.order import balanced_sample
from cellvision.labelling.plan import Display, ImageToLabel, Plan
from cellvision.labelling.rules import Rules
from cellvision.labelling.uncertainty import raise_if_tested, rank_by_own_label
from cellvision.results.environment import plugin_requirements

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run
    from cellvision.data.prepared import PreparedData
    from cellvision.data.threaded_map import Progress
    from cellvision.experiment import Experiment


def data_settings(experiment: Experiment) -> dict[str, Any]:
    """Settings that determine the images and what the network sees of them."""
    settings = experiment.model_dump(mode="json")
    return {key: settings[key] for key in ("dataset", "preprocessing", "split")}


def data_plugins(experiment: Experiment) -> dict[str, str]:
    """Distributions of the plugins in `data_settings`, with their versions."""
    return plugin_requirements([experiment.dataset, experiment.split])


def shows_images_of(plan: Plan, experiment: Experiment) -> bool:
    """Whether a plan shows an experiment's images, prepared as the experiment says.

    With a run that ranks the images, the run's preprocessing applies instead.
    """
    settings = data_settings(experiment)
    if plan.run is not None:
        settings["preprocessing"] = plan.experiment.get("preprocessing")
    return plan.experiment == settings


def as_seen_by(run: Run, experiment: Experiment) -> Experiment:
    """Return an experiment that prepares images as a run does."""
    unreadable = experiment.preprocessing.on_unreadable
    preprocessing = run.preprocessing.model_copy(update={"on_unreadable": unreadable})
    return experiment.model_copy(update={"preprocessing": preprocessing})


def plan_experiment(
    experiment: Experiment,
    rules: Rules,
    run: Run | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Read an experiment's images and plan their labelling.

    Parameters
    ----------
    experiment
        Its images are split, checked for leaks and prepared as for training.
    rules
        How the session proceeds.
    run
        Shows the images whose label this run finds least probable first, and as its network sees
        them; None for random order.
    progress
        Called with the number of images decoded and their total.

    Raises
    ------
    errors.InvalidInput
        A split is unknown, there is no test set, or there are more classes than keys.
    errors.LeakError
        Splits share a group or an image, or `run` was tested on one of the images.
    """
    from cellvision.data.prepared import prepare_data

    rules.check()
    if run is not None:
        experiment = as_seen_by(run, experiment)
    prepared = prepare_data(experiment, progress)
    assign_keys(prepared.catalog.class_names)
    splits = _splits(prepared, rules)
    table = prepared.catalog.table
    rows = [int(row) for split in splits for row in prepared.rows(split)]
    if rules.images is not None and run is None and rules.images < len(rows):
        sample = np.random.default_rng(rules.seed).permutation(len(rows))[: rules.images]
        rows = [rows[position] for position in sorted(sample)]
    training = prepared.rows(prepared.training_split)
    practice = [int(row) for row in training] if rules.practice else []
    examples = [] if prepared.training_split in splits else _examples(table, training, rules)
    needed = sorted({*rows, *practice, *examples})
    stats = scan(experiment.dataset, list(table["image"].iloc[needed]), progress)
    described = dict(zip(needed, _described(prepared, needed, stats), strict=True))
    images = [described[row] for row in rows]
    if run is not None:
        raise_if_tested(run, images, progress)
        images = rank_by_own_label(run, experiment.dataset, images)[: rules.images]
    return Plan(
        data_settings(experiment),
        None,
        None if run is None else str(run.folder.resolve()),
        rules,
        prepared.catalog.class_names,
        _display(prepared, run),
        tuple(images),
        tuple(described[row] for row in practice),
        tuple(described[row] for row in examples),
        data_plugins(experiment),
    )


def _splits(prepared: PreparedData, rules: Rules) -> tuple[str, ...]:
    existing = prepared.catalog.splits()
    unknown = [split for split in rules.splits if split not in existing]
    if unknown:
        raise errors.InvalidInput(
            f"there is no split {quote_list(unknown)}", f"Splits: {', '.join(existing)}"
        )
    splits = rules.splits or tuple(split for split in existing if is_test(split))
    if not splits:
        raise errors.InvalidInput(
            "there is no test set to label",
            f"Name a split (--split {existing[-1]}) or create a test set (--set split.test=0.2)",
        )
    if rules.practice and prepared.training_split in splits:
        raise errors.InvalidInput(
            f"practice reveals the class of images of {prepared.training_split!r}, "
            "which are to be labelled",
            "Label another split, or omit --practice",
        )
    return tuple(splits)


def _examples(table: pd.DataFrame, training: np.ndarray, rules: Rules) -> list[int]:
    """Rows of example images: the same number of each class, in class order."""
    labels = list(table["label"].iloc[training])
    count = rules.examples * len(set(labels))
    sample = balanced_sample(labels, count, np.random.default_rng(rules.seed))
    return [int(training[position]) for position in sorted(sample, key=lambda row: labels[row])]


def _described(
    prepared: PreparedData, rows: Sequence[int], stats: Sequence[ImageStats]
) -> list[ImageToLabel]:
    unreadable = [
        errors.UnreadableImage(entry.image, entry.reason) for entry in stats if not entry.digest
    ]
    if unreadable:
        raise errors.UnreadableImages(unreadable)
    table = prepared.catalog.table.iloc[list(rows)]
    known = prepared.catalog.group_column is not None
    return [
        ImageToLabel(image, split, group if known else None, label, entry.digest)
        for image, split, group, label, entry in zip(
            table["image"], table["split"], table["group"], table["label"], stats, strict=True
        )
    ]


def _display(prepared: PreparedData, run: Run | None) -> Display:
    full = (float(prepared.zero), float(prepared.one)) if run is None else run.intensity_range
    if prepared.experiment.preprocessing.intensity == "per_image":
        files = [file for file in prepared.audit.files if file.high is not None]
        low = min(file.low for file in files if file.low is not None)
        return stretched_display(full, low, max(file.high for file in files if file.high))
    step = max(len(prepared.pixels) // SAMPLE, 1)
    return display_for(full, [prepared.pixels[::step]])
