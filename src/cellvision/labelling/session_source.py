"""Open the answer file of a labelling session, or start a new session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.labelling.plan_experiment import plan_experiment, shows_images_of
from cellvision.labelling.rules import Rules
from cellvision.labelling.store import Store
from cellvision.labelling.unlabelled import parse_classes, plan_folder
from cellvision.locks import folder_lock
from cellvision.progress import displayed
from cellvision.results.claimed_folder import raise_if_unwritable

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.labelling.plan import Plan


def open_session(
    source: str,
    out: Path,
    rules: Rules,
    experiment: Callable[[], Experiment],
    classes: Sequence[str] = (),
    run_folder: Path | None = None,
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
            return _resume(Store(out), source, rules, experiment, classes, run_folder)
        raise_if_unwritable(out)
        return Store.create(out, _plan(source, rules, experiment, classes, run_folder))


def _plan(
    source: str,
    rules: Rules,
    experiment: Callable[[], Experiment],
    classes: Sequence[str],
    run_folder: Path | None,
) -> Plan:
    ranking = None
    if run_folder is not None:
        from cellvision.results.run import load_run

        ranking = load_run(run_folder)
    if classes:
        names = parse_classes(classes)
        with displayed(None) as display:
            return plan_folder(Path(source), names, rules, ranking, display.decoded)
    chosen = experiment()
    with displayed(None) as display:
        return plan_experiment(chosen, rules, ranking, display.decoded)


def _resume(
    store: Store,
    source: str,
    rules: Rules,
    experiment: Callable[[], Experiment],
    classes: Sequence[str],
    run_folder: Path | None,
) -> Store:
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
    return store
