"""Score the predictions of labelled images, and write the folder of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellvision import atomic_io
from cellvision.digests import file_digest
from cellvision.evaluation.labelled_images import LabelledImages
from cellvision.evaluation.predicted_images import PredictedImages
from cellvision.evaluation.significance import test_records
from cellvision.interfaces.reporter import Reporter
from cellvision.results.claimed_folder import EVALUATION, release_folder
from cellvision.results.class_scores import never_predicted
from cellvision.results.environment import decoder_requirements, plugin_requirements
from cellvision.results.evaluation import (
    Evaluation,
    EvaluationRecord,
    LookRecord,
    NetworkRecord,
)
from cellvision.results.metadata import LeakRecord
from cellvision.results.prediction_files import write_predictions
from cellvision.results.run import Run
from cellvision.results.scores import Score, cross_entropy
from cellvision.results.study import Study
from cellvision.statistics import LookCount, digest_of_test_set
from cellvision.studies.looks import record_evaluation


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Networks and the images that they predicted.

    Attributes
    ----------
    model : Run or Study
        What was evaluated.
    experiment : str or None
        Name of the study's experiment.
    runs : sequence of Run
        The runs whose networks were averaged.
    labelled : LabelledImages
        The images.
    predicted : PredictedImages
        Their predictions.
    reporters : sequence of Reporter
        The reporters that will report.
    """

    model: Run | Study
    experiment: str | None
    runs: Sequence[Run]
    labelled: LabelledImages
    predicted: PredictedImages
    reporters: Sequence[Reporter]


def write_evaluation(evaluated: Evaluated, folder: Path) -> Evaluation:
    """Write tables, audit and record of an evaluation, without reports.

    Parameters
    ----------
    evaluated
        The networks and the predictions.
    folder
        A claimed folder; ``evaluation.json`` is written last.
    """
    predicted = evaluated.predicted
    write_predictions(folder, predicted.catalog, predicted.probabilities)
    atomic_io.text(folder / "audit.json", predicted.audit.to_json_text())
    looks = _recorded_looks(evaluated)
    record = _record(evaluated, looks)
    tests = test_records(Evaluation(folder, record), looks)
    record = record.model_copy(update={"tests": tests})
    atomic_io.text(folder / EVALUATION, record.to_json())
    release_folder(folder)
    return Evaluation(folder, record)


def _recorded_looks(evaluated: Evaluated) -> Mapping[str, LookCount]:
    """Record a look at each test set, and count them."""
    networks = [_network(run).digest for run in evaluated.runs]
    experiment = evaluated.runs[0].metadata.experiment
    return record_evaluation(_test_sets(evaluated.predicted), experiment, " ".join(networks))


def _record(evaluated: Evaluated, looks: Mapping[str, LookCount]) -> EvaluationRecord:
    runs, labelled, predicted = evaluated.runs, evaluated.labelled, evaluated.predicted
    catalog, summary = predicted.catalog, predicted.summary
    networks = tuple(_network(run) for run in runs)
    scores = _scores(evaluated)
    warnings = [
        *summary.warnings,
        *labelled.warnings,
        *predicted.audit.warnings,
        *_looks_warnings(looks),
    ]
    for split, score in scores.items():
        warnings += never_predicted(split, score.classes)
    return EvaluationRecord(
        model=str(evaluated.model.folder),
        experiment=evaluated.experiment,
        networks=networks,
        images=labelled.source,
        dataset=labelled.settings,
        plugins={
            **plugin_requirements([labelled.dataset]),
            **decoder_requirements(catalog.table["image"]),
        },
        engine=summary.engine,
        averaged=summary.model,
        class_names=catalog.class_names,
        group_column=catalog.group_column,
        left_out_column=_left_out_column(evaluated),
        batch_column=catalog.batch_column,
        counts=catalog.counts(),
        test_sets=_test_sets(predicted),
        looks={
            split: LookRecord(looks=count.looks, settings=count.settings)
            for split, count in looks.items()
        },
        scores=scores,
        leaks=_leaks(predicted),
        warnings=tuple(dict.fromkeys(warnings)),
        reporters=tuple(each.model_dump(mode="json") for each in evaluated.reporters),
        trained=runs[0].metadata,
    )


def _network(run: Run) -> NetworkRecord:
    return NetworkRecord(
        folder=str(run.folder), seed=run.seed, digest=file_digest(run.folder / "model.keras")
    )


def _left_out_column(evaluated: Evaluated) -> str | None:
    """Return the column of the study's independent units, if it is known of every image."""
    catalog, model = evaluated.predicted.catalog, evaluated.model
    if isinstance(model, Run):
        return None
    (example,) = (each.example for each in model.experiments if each.name == evaluated.experiment)
    column = example.metadata.left_out_column
    if column not in catalog.table.columns or catalog.table[column].isna().any():
        return None
    return column


def _scores(evaluated: Evaluated) -> dict[str, Score]:
    """Score every test set, by the same rules as those of a run."""
    catalog, probabilities = evaluated.predicted.catalog, evaluated.predicted.probabilities
    table = catalog.table
    numbers = {name: number for number, name in enumerate(catalog.class_names)}
    labels = table["label"].map(numbers).to_numpy(dtype=np.int64)
    column = _left_out_column(evaluated)
    scores = {}
    for split in catalog.splits():
        rows = (table["split"] == split).to_numpy()
        groups = None if catalog.group_column is None else table["group"].to_numpy()[rows]
        scores[split] = Score.from_predictions(
            labels[rows],
            probabilities[rows],
            groups,
            cross_entropy(labels[rows], probabilities[rows]),
            units=None if column is None else table[column].to_numpy(dtype=object)[rows],
            class_names=catalog.class_names,
        )
    return scores


def _test_sets(predicted: PredictedImages) -> dict[str, str]:
    """Identify each test set by its pixels and labels, as a training does."""
    digests = {file.file: file.digest or "" for file in predicted.audit.files}
    by_split = predicted.catalog.table.groupby("split", sort=False)
    return {
        str(split): digest_of_test_set([digests[image] for image in rows["image"]], rows["label"])
        for split, rows in by_split
    }


def _leaks(predicted: PredictedImages) -> tuple[LeakRecord, ...]:
    """Record the images that the networks were trained on, as those that splits share."""
    splits = predicted.catalog.table.set_index("image")["split"]
    files: list[tuple[str, tuple[str, ...]]]
    files = [("identical_pixels", (image,)) for image in predicted.summary.trained_on]
    files += [("near_duplicate", pair) for pair in predicted.summary.near_duplicates.items()]
    return tuple(
        LeakRecord(kind=kind, splits=("training", splits[images[0]]), files=images)
        for kind, images in files
    )


def _looks_warnings(looks: Mapping[str, LookCount]) -> list[str]:
    return [f"{split}: {count.warning}" for split, count in looks.items() if count.warning]
