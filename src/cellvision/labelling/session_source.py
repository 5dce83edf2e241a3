"""Open the answer file of a labelling session, or start a new session."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.data.missing_path import why_missing
from cellvision.data.unusable_path import nearest
from cellvision.labelling.plan_experiment import plan_experiment, shows_images_of
from cellvision.labelling.rules import Rules
from cellvision.labelling.store import Store
from cellvision.labelling.unlabelled import parse_classes, plan_folder
from cellvision.locks import folder_lock
from cellvision.progress import displayed
from cellvision.recognised_paths import recognising_dataset
from cellvision.remote import is_address
from cellvision.results.claimed_folder import raise_if_unwritable
from cellvision.results.moved_images import IF_MOVED, Place
from cellvision.results.recorded_dataset import refuse_unknown_addresses
from cellvision.settings_file import parse_settings

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.labelling.plan import Plan
    from cellvision.results.run import Run


def open_session(
    source: str,
    out: Path,
    rules: Rules,
    experiment: Callable[[], Experiment],
    *,
    classes: Sequence[str] = (),
    run_folder: Path | None = None,
    allow_network: bool = False,
    run_images: Place = None,
) -> Store:
    """Resume the session of an answer file, or start one.

    Parameters
    ----------
    source
        The images, as the user named them: the folder of unlabelled images if `classes` are given.
    out
        The answer file.
    rules
        Rules of a new session; those of an existing one must be equal.
    experiment
        Returns the experiment whose images are labelled; not called if `classes` are given.
    classes
        Classes of unlabelled images.
    run_folder
        Run that ranks the images by its uncertainty.
    allow_network
        Read its images also from an address that its record names and that was never read before.
    run_images
        Where the images of `run_folder` are now; None: where they were at the training.

    Raises
    ------
    errors.InvalidInput
        The answer file belongs to a session with other images or rules, or a rule is wrong.
    errors.FolderError
        Another process is starting a session in the same file, or it cannot be written.
    """
    # Otherwise the file of the slower one would replace that of the other, with its answers.
    with folder_lock(out, "label"):
        if out.exists():
            store = Store(out)
            try:
                _check_session(store, source, rules, experiment, classes, run_folder)
            except BaseException:
                store.close()
                raise
            return store
        rules.check()
        raise_if_unwritable(out)
        ranking = None
        if run_folder is not None:
            from cellvision.results.run import load_run

            ranking = load_run(run_folder, images=run_images, allow_network=allow_network)
        return Store.create(out, _plan(source, rules, experiment, classes, ranking))


def open_answer_file(
    file: Path, *, session_images: Place, run_images: Place, omitted: bool
) -> Store:
    """Open the session of an answer file as it is.

    Parameters
    ----------
    file
        The answer file.
    session_images
        Where its images are now; None: where they were at its start.
    run_images
        Where the images of a run that it shows as examples are now.
    omitted
        Whether nothing was given that an answer file fixes.

    Raises
    ------
    errors.InvalidInput
        Images or rules were given as well.
    """
    if not omitted:
        raise errors.InvalidInput(
            f"{file} is an answer file: its images and rules were fixed at its start",
            f"Omit the other options: cellvision label {file}",
        )
    return Store(file, session_images, run_images)


def raise_if_no_source(source: str) -> None:
    """Refuse images, or an answer file, that are not there; the error suggests the nearest name.

    Raises
    ------
    errors.FolderError
        Nothing is at this path.
    """
    path = Path(source)
    if is_address(source) or path.exists() or recognising_dataset(source) is not None:
        return
    near = nearest(path)
    raise errors.FolderError(
        f"{path}: {why_missing(path)}",
        f"Did you mean {near}?" if near else "Give a folder of images, or an answer file.",
    )


def raise_if_session_images(source: str, session_images: Place) -> None:
    """Refuse to say where the images of a session are if the source is no answer file."""
    if session_images is not None:
        raise errors.InvalidInput(
            f"--session-images is for answer files, and {source} is not one",
            "Name the folder where the images are now instead.",
        )


def run_record(source: str | os.PathLike[str], *, allow_network: bool) -> Path | None:
    """Return the record of a run that a path names: its folder or its ``run.json``.

    Parameters
    ----------
    source
        The images, as the user named them.
    allow_network
        Accept a record that names an address from which this user has never read.

    Returns
    -------
    pathlib.Path or None
        None if the path names something else.

    Raises
    ------
    errors.ExperimentError
        The record names such an address.
    """
    record = Path(source) if Path(source).name == "run.json" else Path(source) / "run.json"
    if not record.is_file():
        return None
    if not allow_network:
        recorded = parse_settings(record).get("experiment")
        if isinstance(recorded, dict):
            refuse_unknown_addresses(recorded, record, str(source))
    return record


def with_run_images(
    experiment: Experiment, record: Path | None, images: Place, *, allow_network: bool
) -> Experiment:
    """Return the experiment of a run with its images where they are now.

    Parameters
    ----------
    experiment
        The experiment that is labelled.
    record
        The run's ``run.json``, as `run_record` returns it; None for an experiment without a run.
    images
        Where the images of the run are now; None: where they were at the training.
    allow_network
        Accept a record that names an address from which this user has never read.

    Raises
    ------
    errors.FolderError
        Images are missing there.
    """
    if record is None:
        return experiment
    if images is None:
        path = getattr(experiment.dataset, "path", None)
        if isinstance(path, Path) and not path.exists():
            what = f"{path}: the images of {record.parent} are no longer there"
            raise errors.FolderError(what, IF_MOVED)
        return experiment
    from cellvision.results.run import load_run

    run = load_run(record.parent, images=images, allow_network=allow_network)
    return experiment.model_copy(update={"dataset": run.dataset})


def _plan(
    source: str,
    rules: Rules,
    experiment: Callable[[], Experiment],
    classes: Sequence[str],
    ranking: Run | None,
) -> Plan:
    if classes:
        names = parse_classes(classes)
        with displayed(None) as display:
            return plan_folder(Path(source), names, rules, ranking, display.decoded)
    chosen = experiment()
    with displayed(None) as display:
        return plan_experiment(chosen, rules, ranking, display.decoded)


def _check_session(
    store: Store,
    source: str,
    rules: Rules,
    experiment: Callable[[], Experiment],
    classes: Sequence[str],
    run_folder: Path | None,
) -> None:
    """Check that an existing answer file belongs to the images and rules."""
    plan = store.plan()
    run = None if run_folder is None else str(run_folder.resolve())
    if classes:
        names = parse_classes(classes)
        same = plan.folder == str(Path(source).resolve()) and plan.class_names == names
    else:
        same = plan.folder is None and shows_images_of(plan, experiment())
    if not same or plan.run != run:
        raise errors.InvalidInput(
            f"{store.path}: this session was started with other images, classes, preprocessing, "
            "split or run",
            f"Name another file, or resume it as it is: cellvision label {store.path}",
        )
    requested = asdict(rules)
    different = [name for name, value in asdict(plan.rules).items() if value != requested[name]]
    if different:
        raise errors.InvalidInput(
            f"{store.path}: this session was started with another value of {', '.join(different)}",
            f"Resume it as it is: cellvision label {store.path}",
        )
