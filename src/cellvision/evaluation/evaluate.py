"""Evaluate the network of a run, or the networks of a study, on labelled images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from cellvision import remote
from cellvision.evaluation.labelled_images import LabelledImages, labelled_images
from cellvision.evaluation.predicted_images import predict_labelled
from cellvision.evaluation.write import Evaluated, write_evaluation
from cellvision.inference.predict import networks_of
from cellvision.inference.prediction_options import PredictionOptions
from cellvision.inference.shared_engine import SharedEngine
from cellvision.interfaces.dataset import Dataset
from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.locks import folder_lock
from cellvision.progress import displayed
from cellvision.results.claimed_folder import (
    claim_folder,
    cleared_if_unfinished,
    naming_folder,
    raise_if_in_use,
)
from cellvision.results.evaluation import Evaluation
from cellvision.results.opening import open_results
from cellvision.results.reporting import default_reporters, make_reports, warn_of_faults
from cellvision.results.run import Run
from cellvision.results.study import Study


def evaluate(
    model: Run | Study | str | os.PathLike[str],
    images: str | os.PathLike[str] | Dataset,
    out: str | os.PathLike[str],
    *,
    engine: str = "auto",
    tta: bool = False,
    experiment: str | None = None,
    skip_unreadable: bool | None = None,
    progress: bool | None = None,
) -> Evaluation:
    """Score the network of a run, or the average of a study, on new labelled images.

    The images are read, prepared and predicted as by `predict`, and scored as the test set of a
    run is: by the same intervals over groups, with the same reports. Groups and batches come from
    the columns that the training used, if the images have them. Classes are matched by name; the
    images may lack some. A split that the data set names is a separate test set.

    Parameters
    ----------
    model
        A finished run or study, or its folder. The probabilities of a study's runs are averaged.
    images
        A folder with a subfolder for each class, another path that a data set reads (such as a
        table), an address of one, or a data set.
    out
        New or empty folder for the results, or an address.
    engine, tta, experiment, skip_unreadable, progress
        As for `predict`.

    Returns
    -------
    Evaluation
        The finished evaluation.

    Raises
    ------
    errors.CatalogError
        An image is of a class that the network does not know, or the table of images breaks a rule.
    errors.FolderError
        The images have no class folders, or the folder of the results is not free.
    errors.InvalidInput
        As for `predict`.
    errors.ReportError
        The disk is too full for the reports. The evaluation is complete.

    Examples
    --------
    >>> import cellvision as cv
    >>> evaluation = cv.evaluate("runs/first", "plate_3", "evaluations/3")  # doctest: +SKIP
    >>> evaluation.scores["plate_3"].accuracy  # doctest: +SKIP
    0.87
    """
    raise_if_in_use(out)
    results = open_results(model)
    runs = networks_of(results, experiment)
    options = PredictionOptions(
        engine, tta, experiment=experiment, skip_unreadable=skip_unreadable, progress=progress
    )
    return evaluate_labelled(results, runs, labelled_images(runs[0], images), out, options)


def evaluate_labelled(
    model: Run | Study,
    runs: Sequence[Run],
    labelled: LabelledImages,
    out: str | os.PathLike[str],
    options: PredictionOptions,
    engine: SharedEngine | None = None,
) -> Evaluation:
    """Evaluate networks on images whose labels were read already; see `evaluate`.

    Parameters
    ----------
    model
        The run or study.
    runs
        The runs whose networks are averaged.
    labelled
        The images.
    out
        New or empty folder for the results, or an address.
    options
        How to predict.
    engine
        Engine that several evaluations share; None starts one.
    """
    with remote.results(out) as folder, folder_lock(folder, "evaluate"):
        claim_folder(folder)
        with cleared_if_unfinished(folder):
            predicted = predict_labelled(runs, labelled, options, engine)
            selected = _reporters(runs[0].metadata.experiment)
            name = _experiment_name(model, options)
            evaluated = Evaluated(model, name, runs, labelled, predicted, selected)
            with naming_folder(folder):
                evaluation = write_evaluation(evaluated, folder)
        with displayed(options.progress) as display:
            faults = make_reports(evaluation, selected, display)[1]
    warn_of_faults(evaluation, faults)  # results at an address are uploaded before
    return evaluation


def _experiment_name(model: Run | Study, options: PredictionOptions) -> str | None:
    return None if isinstance(model, Run) else options.experiment or model.names[0]


def _reporters(experiment: Mapping[str, Any]) -> list[Reporter]:
    """Return the default reporters, with the settings that the training recorded for them.

    A training without reports gets an evaluation without. Other reporters, such as one that logs
    runs elsewhere, were asked for a training.
    """
    recorded = experiment.get("reporters")
    if recorded is None:
        return list(default_reporters())
    settings = {each["type"]: each for each in recorded}
    chosen = []
    for reporter in default_reporters():
        name = reporters.name_of(type(reporter))
        if name in settings:
            own = {key: value for key, value in settings[name].items() if key != "type"}
            chosen.append(reporters.create(name, **own))
    return chosen
