"""A paragraph on methods to paste into a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.control_styles import control_label
from cellvision_reporters.figures.phrasing import (
    format_groups,
    format_intensities,
    format_range,
    plural,
)

if TYPE_CHECKING:
    from cellvision import Evaluation, Run, Study
    from cellvision.results.study import StudyExperiment

_FITTED = {
    "resize": "resized to",
    "pad": "centred, without resizing, on a canvas of",
    "crop": "cropped or padded around their centre, without resizing, to",
}
"""What was done to images of another size, by ``preprocessing.fit``."""


def run_methods(run: Run) -> str:
    """Describe how a run was trained and evaluated."""
    seed = f"The seed was {run.seed}."
    return " ".join([_data(run), _preprocessing(run, [run]), _training([run]), seed, *_tail(run)])


def evaluation_methods(evaluation: Evaluation) -> str:
    """Describe which networks were evaluated, and on which images."""
    record = evaluation.record
    networks = plural(len(record.networks), "network")
    column = evaluation.unit_column
    parts = []
    for split, score in evaluation.scores.items():
        source = f" from {format_groups(score.groups, column)}" if column else ""
        parts.append(f"{plural(score.n, 'image')}{source} of {split}")
    unknown = "" if column else " Groups were unknown, so images were treated as independent."
    averaged = f", as the {record.averaged}" if record.averaged else ""
    return " ".join(
        [
            f"{networks}, trained before, classified {' and '.join(parts)} into "
            f"{len(record.class_names)} classes ({', '.join(record.class_names)}).{unknown}",
            f"{_scaling(evaluation, [evaluation])}, as for the training.",
            f"Probabilities were computed by {record.engine} in float32{averaged}.",
            *_tail(evaluation),
        ]
    )


def study_methods(study: Study) -> str:
    """Describe how a study was trained and evaluated, from the first run of each experiment."""
    experiments = [each for each in study.experiments if each.runs]
    several = len(experiments) > 1
    paragraphs = []
    for each in experiments:
        run = each.example
        prefix = f"{each.name}: " if several else ""
        seeds = (
            f"Training was repeated with {plural(len(each.runs), 'seed')}; accuracies are means "
            "over runs."
        )
        controls = ", ".join(control_label(study, name) for name in each.controls)
        added = [f"Controls: {controls}."] if controls else []
        data = _data(run) if each.record.folds is None else _folds(each)
        networks = each.networks
        parts = [data, _preprocessing(run, networks), _training(networks), seeds]
        parts += [*added, *_tail(run)]
        paragraphs.append(prefix + " ".join(parts))
    return "\n\n".join(paragraphs)


def _data(run: Run) -> str:
    counts = run.counts
    parts = []
    for split, by_class in counts.items():
        score = run.scores.get(split)
        column = run.unit_column
        source = f" from {format_groups(score.groups, column)}" if score and column else ""
        parts.append(f"{sum(by_class.values())} images{source} for {split}")
    grouping = (
        f"All images of one {run.group_column} were kept in the same split."
        if run.group_column is not None
        else "Groups were unknown, so images were treated as independent."
    )
    classes = ", ".join(run.class_names)
    return f"Images of {len(run.class_names)} classes ({classes}) were split into " + (
        f"{', '.join(parts)}. {grouping}"
    )


def _folds(experiment: StudyExperiment) -> str:
    """Describe the images of a cross-validated experiment."""
    run, record = experiment.example, experiment.record
    (split,) = run.test_splits
    score = run.scores[split]
    source = (
        "" if run.unit_column is None else f" from {format_groups(score.groups, run.unit_column)}"
    )
    unknown = "" if run.unit_column else " Groups were unknown, so images were independent."
    return (
        f"{score.n} images{source} of {len(run.class_names)} classes "
        f"({', '.join(run.class_names)}) were divided into {record.folds} folds by "
        f"{record.folds_by}; every image was classified by networks trained on other folds, and "
        f"these predictions were pooled.{unknown}"
    )


def _scaling(run: Run, networks: Sequence[Run]) -> str:
    """Describe the preprocessing, without the full stop."""
    size = " × ".join(map(str, run.preprocessing.size))
    intensities = format_intensities(each.intensity_range for each in networks)
    scaling = (
        "each image was scaled to its own intensity range"
        if run.preprocessing.intensity == "per_image"
        else f"intensities {intensities} were scaled to 0 to 1"
    )
    return f"Images were {_FITTED[run.preprocessing.fit]} {size} pixels, and {scaling}"


def _preprocessing(run: Run, networks: Sequence[Run]) -> str:
    experiment: Mapping[str, Any] = run.metadata.experiment
    augmenters = [str(each.get("type")) for each in experiment.get("augmenters") or ()]
    augmentation = (
        f"Training images were augmented ({', '.join(augmenters)})."
        if augmenters
        else "Training images were not augmented."
    )
    return f"{_scaling(run, networks)}. {augmentation}"


def _training(networks: Sequence[Run]) -> str:
    """Describe how the networks of an experiment were trained, each by itself."""
    run = networks[0]
    experiment: Mapping[str, Any] = run.metadata.experiment
    training = experiment.get("training", {})
    name = experiment.get("architecture", {}).get("type", "unnamed")
    environment = run.metadata.environment
    keras = f", Keras {environment.keras}" if environment.keras else ""
    backend = f", {environment.backend} {environment.backend_version or ''}".rstrip()
    if all(_is_regression(each, training) for each in networks):
        how = (
            f"The features of {name!r} are fixed; on them, softmax regression was fitted to all "
            "training images at once,"
        )
    else:
        epochs = _epochs([len(each.history) for each in networks])
        how = (
            f"The network {name!r} was trained for {epochs} with "
            f"batches of {training.get('batch_size', '?')} images"
        )
    versions = f"cellvision {environment.cellvision}{keras}{backend}"
    return f"{how} in {environment.precision} precision ({versions}).{_kept(networks)}"


def _epochs(numbers: Sequence[int]) -> str:
    return (
        plural(numbers[0], "epoch") if len(set(numbers)) == 1 else f"{format_range(numbers)} epochs"
    )


def _kept(networks: Sequence[Run]) -> str:
    """State which epoch's weights were kept, if not those of the last one."""
    kept = [run.metadata.kept_epoch for run in networks]
    if all(epoch in (None, len(run.history)) for epoch, run in zip(kept, networks, strict=True)):
        return ""
    if len(set(kept)) == 1:
        return f" The weights of epoch {kept[0]}, which had the lowest validation loss, were kept."
    return (
        f" The weights of epochs {format_range(kept)} were kept: in each training, those of its "
        "last epoch or of the one with the lowest validation loss."
    )


def _is_regression(run: Run, training: Mapping[str, Any]) -> bool:
    """Whether only a softmax layer was fitted.

    Older records do not say so, but their history has one row, whatever the epochs.
    """
    if run.metadata.solved:
        return True
    ended_early = run.interrupted or training.get("early_stopping") == 1
    return len(run.history) == 1 < int(training.get("epochs") or 1) and not ended_early


def _tail(run: Run) -> list[str]:
    methods = sorted({score.interval for score in run.scores.values() if score.interval})
    return [f"Intervals are 95 % intervals ({'; '.join(methods)})."] if methods else []
