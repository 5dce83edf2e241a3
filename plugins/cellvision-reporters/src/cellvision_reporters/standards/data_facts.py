"""What a run or study knows of its images: counts, classes, splits, exclusions, preprocessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from cellvision_reporters.figures.phrasing import format_groups, format_intensities, plural
from cellvision_reporters.standards.subject import Subject


def data_facts(subject: Subject) -> dict[str, str]:
    """Return sentences about the images, by key."""
    return {
        "dataset": _dataset(subject),
        "counts": _counts(subject),
        "classes": _classes(subject),
        "splits": _splits(subject),
        "redundancy": _redundancy(subject),
        "batches": _batches(subject),
        "exclusions": _exclusions(subject),
        "corrupt": _corrupt(subject),
        "pixels": _pixels(subject),
        "preprocessing": _preprocessing(subject),
        "augmentation": _augmentation(subject),
        "training_only": (
            "The network, the intensity range and all settings that are fitted use training images "
            "only; validation images decide when to stop, if at all."
        ),
        "features": _features(subject),
    }


def _dataset(subject: Subject) -> str:
    dataset = subject.settings.get("dataset", {})
    path = dataset.get("path")
    name = f", folder {PurePath(str(path)).name!r}" if path else ""
    digest = subject.run.metadata.all_images
    identity = f" Pixels and labels have the digest {digest}." if digest else ""
    return f"Data set of the type {dataset.get('type')!r}{name}.{identity}"


def _counts(subject: Subject) -> str:
    run = subject.run
    parts = []
    for split, by_class in run.counts.items():
        score = run.scores.get(split)
        groups = ""
        if score is not None and run.unit_column is not None:
            groups = f" from {format_groups(score.groups, run.unit_column)}"
        parts.append(f"{split} {plural(sum(by_class.values()), 'image')}{groups}")
    unknown = "" if run.unit_column else " Groups are unknown."
    return f"Images: {'; '.join(parts)}.{unknown}"


def _classes(subject: Subject) -> str:
    parts = []
    for split, by_class in subject.run.counts.items():
        numbers = ", ".join(f"{name} {count}" for name, count in by_class.items())
        parts.append(f"{split}: {numbers}")
    return f"Images by class: {'; '.join(parts)}."


def _splits(subject: Subject) -> str:
    experiment, split = subject.experiment, subject.settings.get("split", {})
    if experiment is not None and experiment.record.folds is not None:
        record = experiment.record
        return (
            f"Cross-validation with {record.folds} folds by {record.folds_by}: every image is "
            "tested by networks that were trained on other folds."
        )
    fractions = ", ".join(f"{name} {split.get(name)}" for name in ("validation", "test"))
    return (
        "Splits are those that the data set names, or else fractions of the images "
        f"({fractions}, seed {split.get('seed')}), with classes in their proportions."
    )


def _redundancy(subject: Subject) -> str:
    run, audit = subject.run, subject.audit
    column = run.group_column
    if column is None and run.unit_column is not None:
        whole = f"Images of one {run.unit_column} are never both training and test images."
    elif column is None:
        whole = "Groups are unknown, so images that belong together may be in several splits."
    else:
        whole = f"All images of one {column} are in one split."
    leaks = run.leaks
    shared = (
        f"{plural(len(leaks), 'leak')} between splits were allowed."
        if leaks
        else "No two splits share a group or an image with identical pixels (checked)."
    )
    near = len(audit.near_duplicates) if audit is not None else 0
    found = f" {plural(near, 'pair')} of near-duplicates across splits were found." if near else ""
    return f"{whole} {shared}{found}"


def _batches(subject: Subject) -> str:
    run = subject.run
    sentences = [v.worst_batch.sentence(v.batch_column) for v in subject.verdicts if v.worst_batch]
    sentences += [each.batches for each in subject.verdicts if each.batches]
    if run.batch_column is None:
        return ""
    return " ".join([f"Batches are named by {run.batch_column!r}.", *sentences])


def _exclusions(subject: Subject) -> str:
    if subject.audit is None:
        return ""
    reasons = Counter(file.reason for file in subject.audit.files if file.status != "read")
    if not reasons:
        return "Every file of the data set was used."
    parts = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common(8))
    return f"{plural(sum(reasons.values()), 'file')} were not used ({parts})."


def _corrupt(subject: Subject) -> str:
    policy = subject.settings.get("preprocessing", {}).get("on_unreadable", "error")
    action = "left out, with the reason" if policy == "skip" else "an error: nothing was trained"
    return (
        "Every file is decoded and checked before the training; files that cannot be read are "
        f"{action}."
    )


def _pixels(subject: Subject) -> str:
    if subject.audit is None:
        return ""
    kinds = Counter(
        f"{' × '.join(map(str, file.shape or ()))} {file.dtype} with {file.bit_depth} bits"
        for file in subject.audit.files
        if file.status == "read"
    )
    return f"Files: {'; '.join(f'{count} of {kind}' for kind, count in kinds.most_common(4))}."


def _preprocessing(subject: Subject) -> str:
    settings: Mapping[str, Any] = subject.settings.get("preprocessing", {})
    intensities = format_intensities(run.intensity_range for run in subject.networks)
    size = " × ".join(map(str, subject.run.preprocessing.size))
    return (
        f"Images are resized to {size} pixels (fit: {settings.get('fit')}), channels: "
        f"{settings.get('channels')}; intensities {intensities} become 0 to 1 (rule: "
        f"{settings.get('intensity')}), alike for all splits."
    )


def _augmentation(subject: Subject) -> str:
    augmenters = [str(each.get("type")) for each in subject.settings.get("augmenters") or ()]
    if not augmenters:
        return "Training images are not augmented."
    return f"Training images are augmented: {', '.join(augmenters)}."


def _features(subject: Subject) -> str:
    height, width = subject.run.preprocessing.size
    return f"The input is the image, {height} × {width} pixels; no features were selected."
