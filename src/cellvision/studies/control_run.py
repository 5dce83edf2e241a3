"""The run of a control that predicts without training a network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.results.claimed_folder import naming_folder
from cellvision.results.environment import scikit_learn_environment
from cellvision.results.metadata import Timings
from cellvision.results.run_folder import RunPredictions, TrainingRecord, write_run
from cellvision.results.scores import cross_entropy
from cellvision.results.tables import history_table, write_table
from cellvision.studies.control_contract import checked_probabilities
from cellvision.studies.controls import control_view

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.interfaces.control import Control
    from cellvision.results.run import Run


def predict_control(control: Control, prepared: PreparedData, seed: int, folder: Path) -> Run:
    """Write the predictions of a control as a run, without epochs and without a Keras model.

    Parameters
    ----------
    control
        A control that predicts.
    prepared
        Its images and labels.
    seed
        Seed of the run that it accompanies.
    folder
        A claimed folder.
    """
    start = time.perf_counter()
    probabilities = checked_probabilities(control, control_view(prepared), seed)
    seconds = time.perf_counter() - start
    timings = Timings(prepare_s=prepared.seconds, fit_s=seconds)
    environment = scikit_learn_environment()
    with naming_folder(folder):
        write_table(folder / "history.csv", history_table([]))
        return write_run(
            folder,
            prepared,
            RunPredictions(probabilities, cross_entropy),
            TrainingRecord(seed, environment, timings),
        )
