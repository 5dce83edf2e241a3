"""Controls of a study: which ones run, and the images and labels that they train on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.data.prepared import PreparedData
from cellvision.data.split import Split
from cellvision.data.threaded_map import Progress
from cellvision.interfaces.control import Control, ControlData, controls, overridden
from cellvision.plain_settings import with_absolute_paths
from cellvision.studies.control_contract import (
    checked_caveat,
    checked_experiment,
    checked_labels,
    checked_meaning,
    checked_unavailable,
)
from cellvision.studies.control_images import changed_images
from cellvision.studies.permuted_units import exchanging_groups

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.experiment import Experiment

_log = logging.getLogger(__name__)

Controls = Mapping[str, Control]
"""Controls by name, in the order in which they run."""


LADDER = "lower rung"
"""Kind of the controls that are simpler models of the same images."""


def installed_controls(*, kind: str | None = None) -> list[Control]:
    """Return the installed controls that are enabled by default.

    Broken ones are skipped with a warning, because nobody selected them.

    Parameters
    ----------
    kind
        Return only those whose meaning is of this kind, such as ``"lower rung"``.
    """
    selected = []
    for name in map(controls.default, controls.names()):
        try:
            if controls.get(name).enabled_by_default:
                control = controls.create(name)
                if kind in (None, checked_meaning(control).kind):
                    selected.append(control)
        except errors.InvalidInput as error:
            _log.warning("%s", error.what)
    return selected


def selected_controls(
    requested: bool | str | Control | Iterable[str | Control],  # noqa: FBT001 - one of its forms
    experiments: Mapping[str, Experiment],
) -> dict[str, dict[str, Control]]:
    """Return the controls of each experiment by name, in the order in which they run.

    Parameters
    ----------
    requested
        A control or its name, or several. True: all that are enabled by default; False: none.
        Controls that are unavailable for an experiment are left out there.
    experiments
        The experiments of the study.

    Raises
    ------
    errors.PluginError
        There is no such control, or it breaks its contract.
    errors.ExperimentError
        A control is named twice, or is unavailable for every experiment.
    """
    named = named_controls(requested)
    chosen = named or _by_name(installed_controls() if requested is True else [])
    available, reasons = _available(chosen, experiments)
    for name in chosen if named else ():
        if not any(name in each for each in available.values()):
            raise errors.ExperimentError(
                f"the control {name!r} cannot be run: {reasons[name]}", "Leave it out."
            )
    return available


def named_controls(
    requested: bool | str | Control | Iterable[str | Control],  # noqa: FBT001 - one of its forms
) -> dict[str, Control]:
    """Return the controls that are requested by name or with settings, by their names.

    Parameters
    ----------
    requested
        As for `selected_controls`; a truth value names none.

    Raises
    ------
    errors.PluginError
        There is no such control, or it breaks its contract.
    errors.ExperimentError
        A control is named twice.
    """
    if isinstance(requested, bool):
        return {}
    return _by_name([requested] if isinstance(requested, str | Control) else requested)


def default_controls(
    experiments: Mapping[str, Experiment], *, kind: str | None = None
) -> list[Control]:
    """Return the controls that are enabled by default and available for at least one experiment.

    Parameters
    ----------
    experiments
        The experiments of the study.
    kind
        As for `installed_controls`.
    """
    available, _ = _available(_by_name(installed_controls(kind=kind)), experiments)
    return list({name: each for one in available.values() for name, each in one.items()}.values())


def with_default_controls(
    named: Sequence[Control], experiments: Mapping[str, Experiment], *, kind: str | None = None
) -> list[Control]:
    """Return controls, and beside them those of `default_controls` that are not among them.

    Parameters
    ----------
    named
        The controls; their settings take precedence.
    experiments, kind
        As for `default_controls`.
    """
    kinds = {type(control) for control in named}
    others = default_controls(experiments, kind=kind)
    return [*named, *(control for control in others if type(control) not in kinds)]


def _available(
    chosen: Controls, experiments: Mapping[str, Experiment]
) -> tuple[dict[str, dict[str, Control]], dict[str, str]]:
    """Return the controls that can accompany each experiment, and why others cannot."""
    available = {}
    reasons: dict[str, str] = {}
    for name, experiment in experiments.items():
        unavailable = obstacles(chosen, experiment, partial(_catalog_table, experiment))
        available[name] = {key: each for key, each in chosen.items() if key not in unavailable}
        reasons |= unavailable
    return available, reasons


def _by_name(requested: Iterable[str | Control]) -> dict[str, Control]:
    chosen: dict[str, Control] = {}
    for one in requested:
        control = controls.create(one) if isinstance(one, str) else one
        name = controls.name_of(type(control))
        if name in chosen:
            raise errors.ExperimentError(f"the control {name!r} is named twice", "Name it once.")
        checked_meaning(control)
        chosen[name] = with_absolute_paths(control)  # a record is read from other folders
    return in_order(chosen)


def in_order(chosen: Controls) -> dict[str, Control]:
    """Return controls in the order in which they run and are shown."""
    return dict(sorted(chosen.items(), key=lambda item: (item[1].order, item[0])))


def _catalog_table(experiment: Experiment) -> pd.DataFrame:
    return Catalog.of(experiment.dataset).table


def obstacles(
    chosen: Controls, experiment: Experiment, read_catalog: Callable[[], pd.DataFrame]
) -> dict[str, str]:
    """Return why controls cannot accompany an experiment, by the name of the control.

    Parameters
    ----------
    chosen
        The controls.
    experiment
        The experiment.
    read_catalog
        Returns its images, with their batches; called only if a control depends on them.
    """
    found = {}
    table: pd.DataFrame | None = None
    for name, control in chosen.items():
        reason = ""
        if type(control).unavailable is not Control.unavailable:
            table = read_catalog() if table is None else table
            reason = checked_unavailable(control, table.copy())
        if overridden(control) == {"change_experiment"} and not reason:
            is_same = checked_experiment(control, experiment) == experiment
            reason = "it would be the experiment itself" if is_same else ""
        if reason:
            found[name] = reason
    return found


def control_label(control: Control) -> str:
    """Return the display name of a control."""
    return control.label or controls.name_of(type(control)).replace("_", " ")


def with_changed_images(
    control: Control, prepared: PreparedData, progress: Progress | None = None
) -> PreparedData:
    """Return the images of a control, marked as such in their warnings.

    Parameters
    ----------
    control
        The control.
    prepared
        The images of the experiment.
    progress
        Called with the number of changed images and the number of all.

    Raises
    ------
    errors.PluginContractError
        The control returns images that cannot be used.
    """
    warning = f"CONTROL ({control_label(control)}): nothing here is a result of the experiment."
    pixels = prepared.pixels
    if "change_image" in overridden(control):
        pixels = changed_images(control, pixels, progress)
    caveat = ""
    if type(control).caveat is not Control.caveat:
        caveat = checked_caveat(control, control_view(prepared))
    return replace(
        prepared,
        pixels=pixels,
        warnings=(warning, *prepared.warnings),
        control=control,
        caveat=caveat,
    )


def with_changed_labels(control: Control, prepared: PreparedData, seed: int) -> PreparedData:
    """Return the labels of a control.

    Parameters
    ----------
    control
        The control.
    prepared
        The images with their true labels.
    seed
        Seed of the run.

    Raises
    ------
    errors.PluginContractError
        The control returns labels that cannot be used.
    """
    if "change_labels" not in overridden(control):
        return prepared
    labels = checked_labels(control, control_view(prepared), seed)
    numbers = {name: number for number, name in enumerate(prepared.catalog.class_names)}
    table = prepared.catalog.table.assign(label=np.array(labels, dtype=object))
    return replace(
        prepared,
        catalog=replace(prepared.catalog, table=table),
        labels=np.array([numbers[name] for name in labels], np.int64),
    )


def control_view(prepared: PreparedData) -> ControlData:
    """Return what a control may see of prepared data."""
    table = prepared.catalog.table
    leaks = [leak for leak in prepared.audit.leaks if leak.kind == "identical_pixels"]
    # Only images that are identical in several splits matter: a leak shows only if they have one
    # label in all splits.
    pixels = {image: str(number) for number, leak in enumerate(leaks) for image in leak.files}
    view = prepared.pixels.view()
    view.flags.writeable = False
    return ControlData(
        table.assign(
            stratum=prepared.label_strata,
            block=Split.linked_groups(exchanging_groups(table, prepared.experiment), pixels),
            copies=Split.linked_groups(table.assign(group=None), pixels),
        ),
        view,
        prepared.catalog.class_names,
        prepared.training_split,
    )
