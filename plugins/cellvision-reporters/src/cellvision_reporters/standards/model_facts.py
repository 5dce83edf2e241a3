"""What a run or study knows of its networks and of their evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellvision import errors
from cellvision_reporters.expert.record import read_expert_record
from cellvision_reporters.figures.class_warnings import worst_class
from cellvision_reporters.figures.phrasing import (
    SOLVED,
    capitalise,
    format_interval,
    format_number,
    new_groups,
    plural,
)
from cellvision_reporters.standards.subject import Subject

_REGULARIZERS = (
    "weight_decay",
    "label_smoothing",
    "clip_norm",
    "ema",
    "early_stopping",
    "class_weights",
)


def model_facts(subject: Subject) -> dict[str, str]:
    """Return sentences about networks, training and software, by key."""
    settings, parameters = subject.settings, parameter_count(subject)
    training = settings.get("training", {})
    architecture = settings.get("architecture", {})
    options = ", ".join(f"{k} = {v!r}" for k, v in architecture.items() if k != "type")
    runs = len(subject.networks)
    environment = subject.networks[0].metadata.environment
    versions = ", ".join(sorted(set(subject.networks[0].metadata.plugins.values())))
    return {
        "model": f"Network {architecture.get('type')!r} ({options or 'default settings'}).",
        "meta": "No other model's predictions are an input.",
        "parameters": f"{parameters:,} parameters." if parameters else "",
        "fitting": _fitting(subject, parameters),
        "training": _training(subject, training),
        "regularization": _regularization(subject),
        "initialization": (
            f"Weights are drawn anew for each of {plural(runs, 'run')} from recorded seeds, except "
            "those of pretrained or frozen layers."
        ),
        "runs": f"{plural(runs, 'network')} were trained, with seeds "
        f"{', '.join(map(str, sorted({run.seed for run in subject.networks})))}.",
        "selection": _selection(subject, training),
        "ensemble": "Scores are means over runs. The mean of their probabilities is also scored."
        if runs > 1
        else "No ensemble.",
        "environment": (
            f"cellvision {environment.cellvision}, Python {environment.python}, Keras "
            f"{environment.keras or 'none'}, {environment.backend} "
            f"{environment.backend_version or ''}, {environment.precision}, "
            f"{environment.device or 'CPU'}, {environment.platform}. Plugins: {versions}."
        ),
        "repeat": (
            "The folder contains the complete experiment with all defaults, versions and seeds: "
            "cellvision train RUN/run.json --out NEW repeats a run."
        ),
        "output": f"Classification: a probability for each of {len(subject.run.class_names)} "
        f"classes ({', '.join(subject.run.class_names)}).",
        "interpretability": _interpretability(subject),
        "duration": _duration(subject),
        "files": (
            "predictions.csv has the label and all probabilities of every image; verdict.json, the "
            "confusion matrices and every table are in the folder."
        ),
    }


def parameter_count(subject: Subject) -> int | None:
    """Return the number of parameters; None if the network cannot be loaded."""
    try:
        return int(subject.networks[0].model(verify=False).count_params())
    except errors.CellvisionError:
        return None


def _fitting(subject: Subject, parameters: int | None) -> str:
    if not parameters:
        return ""
    run = subject.networks[0]
    training = sum(run.counts.get(run.training_split or "", {}).values())
    accuracy = [each.training_accuracy for each in subject.verdicts if each.training_accuracy]
    fit = f" Accuracy on training images: {format_number(accuracy[0], 2)}." if accuracy else ""
    return (
        f"{parameters:,} parameters and {plural(training, 'training image')}.{fit} Overfitting is "
        "judged on held-out groups and by the controls."
    )


def _training(subject: Subject, training: Mapping[str, Any]) -> str:
    if _is_solved(subject):
        return f"{capitalise(SOLVED)}."
    kept = {
        key: training.get(key)
        for key in ("optimizer", "learning_rate", "schedule", "warmup_epochs")
        if training.get(key) is not None
    }
    further = "".join(f", {key.replace('_', ' ')} {value}" for key, value in kept.items())
    return (
        f"{training.get('epochs')} epochs with batches of {training.get('batch_size')} images"
        f"{further}; what is not named is chosen by the recipe of the architecture."
    )


def regularization_names(subject: Subject) -> list[str]:
    """Return what the experiment sets against overfitting, such as "weight decay 0.01"."""
    training = subject.settings.get("training", {})
    used = [
        f"{key.replace('_', ' ')} {training[key]}"
        for key in _REGULARIZERS
        if training.get(key) is not None
    ]
    return [*used, "augmentation"] if subject.settings.get("augmenters") else used


def _regularization(subject: Subject) -> str:
    names = regularization_names(subject)
    return f"Against overfitting: {', '.join(names) or 'nothing beyond the architecture'}."


def _is_solved(subject: Subject) -> bool:
    return all(run.metadata.solved for run in subject.networks)


def _selection(subject: Subject, training: Mapping[str, Any]) -> str:
    if _is_solved(subject):
        return "Each run has one solution. No run is selected by its result."
    if training.get("keep") == "best":
        return "Of each run, the epoch with the lowest validation loss is kept. No run is selected."
    if training.get("keep") == "auto":
        return (
            "Of each run, the last epoch is kept, or, if the training collapsed or was stopped "
            "early, the epoch with the lowest validation loss. No run is selected."
        )
    return "Of each run, the last epoch is kept. No run is selected by its result."


def _interpretability(subject: Subject) -> str:
    names = {entry.reporter.rpartition(":")[2] for entry in subject.results.reports}
    maps = " Attribution maps are in the report." if "attention" in names else ""
    return f"A neural network: not transparent by itself.{maps}"


def _duration(subject: Subject) -> str:
    speed = subject.networks[0].timings.train_images_per_s
    if not speed:
        return ""
    device = subject.networks[0].metadata.environment.device or "CPU"
    return f"Training processes {speed:.0f} images per second ({device})."


def evaluation_facts(subject: Subject) -> dict[str, str]:
    """Return sentences about scores, uncertainty, baselines and failures, by key."""
    run, verdicts = subject.run, subject.verdicts
    further = [warning for each in verdicts for warning in each.warnings]
    record = read_expert_record(subject.results)
    names = {entry.reporter.rpartition(":")[2] for entry in subject.results.reports}
    return {
        "verdict": " ".join(f"{each.split}: {each.sentence}." for each in verdicts),
        "evaluation": _evaluation(subject),
        "metrics": (
            "Balanced accuracy (the mean recall of the classes, which does not depend on their "
            "frequency), accuracy of images and of groups, precision, recall and F1 of each class, "
            "areas under ROC and precision-recall curves, calibration."
        ),
        "performance": _performance(subject),
        "class_performance": "Precision, recall and F1 of each class with intervals are in "
        "tables_classes.csv."
        if run.test_splits
        else "",
        "uncertainty": _uncertainty(subject),
        "tests": " ".join(
            f"{each.split}: permutation test, {each.permuted}, p = {each.p:.2g}."
            for each in verdicts
        ),
        "baselines": " ".join(control.sentence for each in verdicts for control in each.controls),
        "shortcuts": " ".join(
            control.sentence
            for each in verdicts
            for control in each.controls
            if control.kind == "alternative explanation"
        ),
        "looks": " ".join(
            f"{each.split}: looks: {each.looks}, settings: {each.settings_tried}."
            for each in verdicts
            if each.looks is not None
        ),
        "failures": _failures(subject),
        "robustness": "Accuracy on perturbed images is in the report."
        if "robustness" in names
        else "",
        "expert": " ".join(map(record.statement, record.comparisons)) if record else "",
        "warnings": " ".join(dict.fromkeys([*run.warnings, *further])),
    }


def _evaluation(subject: Subject) -> str:
    run = subject.run
    if not run.test_splits:
        return ""
    unit = new_groups(run.unit_column) if run.unit_column else "other images"
    folds = subject.experiment.record.folds if subject.experiment is not None else None
    if folds is not None:
        return f"{folds}-fold cross-validation on {unit}; predictions of all folds are pooled."
    return f"Held-out test sets of {unit}: {', '.join(run.test_splits)}."


def _performance(subject: Subject) -> str:
    parts = []
    for split in subject.run.test_splits:
        score = subject.run.scores[split]
        verdict = next((each for each in subject.verdicts if each.split == split), None)
        source: Any = score if verdict is None else verdict
        accuracy = format_interval(source.accuracy_low, source.accuracy_high, 2)
        text = (
            f"{split}: balanced accuracy {format_number(source.balanced_accuracy, 2)}, accuracy "
            f"{format_number(source.accuracy, 2)} ({accuracy})"
        )
        if source.group_accuracy is not None:
            interval = format_interval(source.group_accuracy_low, source.group_accuracy_high, 2)
            text += f", of groups {format_number(source.group_accuracy, 2)} ({interval})"
        parts.append(f"{text}; chance {1 / len(subject.run.class_names):.2f}.")
    return " ".join(parts)


def _uncertainty(subject: Subject) -> str:
    methods = {subject.run.scores[split].interval for split in subject.run.test_splits}
    spread = [
        f"SD over runs {format_number(each.sd_over_runs)}"
        for each in subject.verdicts
        if each.sd_over_runs is not None
    ]
    if not methods:
        return ""
    return f"95 % intervals ({'; '.join(sorted(methods))}). {'; '.join(spread)}".rstrip() + (
        "." if spread else ""
    )


def _failures(subject: Subject) -> str:
    parts = []
    runs = [subject.run] if subject.experiment is None else subject.experiment.runs
    for split in subject.run.test_splits:
        worst = worst_class(runs, split)
        if worst is not None:
            parts.append(f"The worst class of {split} is {worst}.")
    return " ".join([*parts, "Wrong answers are listed by the reporter mistakes."]) if parts else ""
