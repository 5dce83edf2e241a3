"""Describe the controls of a study for its record, including those that were not run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.interfaces.control import Control, controls
from cellvision.results.environment import plugin_requirements
from cellvision.results.metadata import ControlDescription
from cellvision.studies.control_contract import checked_meaning
from cellvision.studies.controls import (
    Controls,
    control_label,
    in_order,
    installed_controls,
    obstacles,
)

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.experiment import Experiment
    from cellvision.results.run import Run
    from cellvision.studies.plan import PlannedRun

_log = logging.getLogger(__name__)


def missing_controls(
    first: PlannedRun, planned: Sequence[PlannedRun], run: Run
) -> dict[str, Control]:
    """Return the controls that could accompany an experiment by default and did not.

    Parameters
    ----------
    first
        A planned run of the experiment.
    planned
        All runs of the study.
    run
        That run, finished: its tables say which batches there are.
    """
    present = {each.control for each in planned if each.experiment_name == first.experiment_name}
    absent = {
        name: control
        for control in installed_controls()
        if (name := controls.name_of(type(control))) not in present
    }
    return in_order(
        {
            name: control
            for name, control in absent.items()
            if not _is_unavailable(name, control, first.experiment, run)
        }
    )


def _is_unavailable(name: str, control: Control, experiment: Experiment, run: Run) -> bool:
    """Whether a control cannot accompany an experiment; False if its own check fails.

    Nobody selected it, and all networks are trained, so its error must not end the study.
    """
    try:
        return bool(obstacles({name: control}, experiment, lambda: _catalog_table(run)))
    except errors.InvalidInput as error:
        _log.warning("%s", error.what)
        return False


def _catalog_table(run: Run) -> pd.DataFrame:
    """Return the images of a run as a catalog lists them."""
    rows = run.predictions[["image", "label", "split"]]
    return rows.merge(run.provenance, on="image", how="left")


def described_controls(
    planned: Iterable[PlannedRun], missing: Iterable[Controls]
) -> tuple[ControlDescription, ...]:
    """Describe all controls of a study, run or not, so that it is readable without plugins."""
    known = {name: control for each in missing for name, control in each.items()}
    known |= {run.control: run.component for run in planned if run.control and run.component}
    return tuple(_described(name, control) for name, control in in_order(known).items())


def _described(name: str, control: Control) -> ControlDescription:
    meaning = checked_meaning(control)
    return ControlDescription(
        name=name,
        label=control_label(control),
        description=(inspect.getdoc(type(control)) or "").partition("\n\n")[0].replace("\n", " "),
        kind=meaning.kind,
        subject=meaning.subject,
        sentences=dict(meaning.sentences),
        settings=control.model_dump(mode="json"),
        plugin=next(iter(plugin_requirements(control).values())),
    )
