"""A study: several runs from several seeds, of one experiment or of a grid of them."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors, remote
from cellvision.backends import distributed
from cellvision.progress import Display, displayed
from cellvision.recipe import DEFAULT, as_experiment
from cellvision.results import record
from cellvision.results.metadata import STUDY_SCHEMA, ExperimentRecord, RunRecord, StudyMetadata
from cellvision.results.reporting import make_reports
from cellvision.results.run import load_run
from cellvision.results.study import PLAN, Study
from cellvision.results.verdicts import VerdictFile
from cellvision.studies import dask, verdict
from cellvision.studies.controls import chosen
from cellvision.studies.plan import PlannedRun, Runner, plan_runs
from cellvision.training.train import with_reporters

if TYPE_CHECKING:
    from distributed import Client

    from cellvision.experiment import Experiment

_log = logging.getLogger(__name__)


def study(
    experiment: Experiment | str | os.PathLike[str] | Mapping[str, Experiment],
    runs: int,
    out: str | os.PathLike[str],
    *,
    controls: Sequence[str] = (),
    expert: Mapping[str, float] | None = None,
    client: Client | None = None,
    group: str | None = None,
    recipe: str = DEFAULT,
    progress: bool | None = None,
) -> Study:
    """Repeat a training from several seeds, to see how much of a result is luck.

    The images are read and the network is compiled once for an experiment; each run draws
    new weights. An interrupted study goes on where it stopped when it is asked for again.

    Parameters
    ----------
    experiment
        The experiment, or several experiments by name (architectures, data sets, options); or a
        folder of images, for which a recipe chooses the settings.
    runs
        How many runs of each. Their seeds are the experiment's ``training.seed`` and the
        numbers that follow it.
    out
        The study's folder, or an address on remote storage, where the study arrives when it is
        finished.
    controls
        Which controls to run beside them, with the same network, epochs and seeds:
        ``"permuted_groups"``, ``"permuted_images"``, ``"background"``, ``"intensity"``. A study
        that was done without may be given them later.
    expert
        A person's accuracy on a split, by the split's name, for figures to show.
    client
        A ``distributed.Client``: the runs are done by its Dask cluster's workers, which must
        find the images where this process does. None does them here, one after the other.
    group
        For a folder: provenance column that names the groups, such as ``well``.
    recipe
        For a folder: name of the recipe.
    progress
        Whether to show progress on standard error; by default where that is a terminal.

    Returns
    -------
    Study
        The finished study.

    Raises
    ------
    errors.FolderError
        The folder holds something else, or a study of other experiments.
    errors.ExperimentError
        There is no such control.
    errors.InvalidInput, errors.LeakError
        As for `train`.
    errors.CellvisionError
        The cluster was lost, or its workers differ from this process or end over a run.
    """
    if runs < 1:
        raise errors.ExperimentError(f"a study needs at least one run, not {runs}", "--runs 12")
    distributed.refuse_several("a study")
    if not isinstance(experiment, Mapping):
        experiment = as_experiment(experiment, recipe, group)
    experiments = _named(experiment)
    plan: dict[str, Any] = {
        "schema": STUDY_SCHEMA,
        "experiments": [
            {"name": name, "experiment": each.model_dump(mode="json")}
            for name, each in experiments.items()
        ],
        "seeds": [next(iter(experiments.values())).training.seed + k for k in range(runs)],
        "controls": list(chosen(controls)),
        "expert": dict(expert or {}),
    }
    planned = plan_runs(experiments, runs, plan["controls"])
    with displayed(progress) as display, remote.results(out) as folder:
        _claim(folder, plan)
        places = folder / "runs"
        waiting = [run for run in planned if not (places / run.name / "run.json").is_file()]
        if client is None:
            _carry_out_here(waiting, planned, places, display)
        else:
            dask.carry_out(client, waiting, places, len(planned) - len(waiting), display)
        finished = _finish(folder, plan, planned)
        first = next(iter(experiments.values()))
        for fault in make_reports(finished, first.reporters or (), display)[1]:
            _log.warning("%s", fault.what)
    return finished


def _carry_out_here(
    waiting: Sequence[PlannedRun], planned: Sequence[PlannedRun], folder: Path, display: Display
) -> None:
    """Do runs in this process, those of one experiment with one compiled network."""
    for experiment, theirs in itertools.groupby(waiting, attrgetter("experiment")):
        runner = Runner(experiment, display)
        runs = list(theirs)
        true = [run for run in runs if run.control is None]
        done = runner.do_vectorized(true, folder)
        for run in runs[done:]:  # those of the true labels come first
            display.run(planned.index(run) + 1, len(planned), run.seed, run.control)
            runner.do(run.seed, run.control, record.claim(folder / run.name))


def _named(experiment: Experiment | Mapping[str, Experiment]) -> dict[str, Experiment]:
    given = experiment if isinstance(experiment, Mapping) else {"": experiment}
    if not given:
        raise errors.ExperimentError("a study needs at least one experiment", "Name one")
    return {
        name or type(each.architecture).registry.name_of(type(each.architecture)): with_reporters(
            each
        )
        for name, each in given.items()
    }


def _claim(folder: Path, plan: dict[str, Any]) -> None:
    """Take a new folder, or one in which the same study was begun."""
    path = folder / PLAN
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        if _fixed(begun) != _fixed(plan) or begun["seeds"][0] != plan["seeds"][0]:
            raise errors.FolderError(
                f"{folder}: another study was begun here", "Name another folder, or remove it"
            )
        done = [seed for seed in begun["seeds"] if seed not in plan["seeds"]]
        several = len(plan["experiments"]) > 1 and begun["seeds"] != plan["seeds"]
        if done or several:
            raise errors.FolderError(
                f"{folder}: a study of {len(begun['seeds'])} runs was begun here",
                f"Ask for {len(begun['seeds'])} runs again, or name another folder",
            )
        left_out = [name for name in begun.get("controls", ()) if name not in plan["controls"]]
        if left_out:
            raise errors.FolderError(
                f"{folder}: a study with the control {left_out[0]!r} was begun here",
                f"Ask for its controls again ({', '.join(begun['controls'])}), or name another "
                "folder",
            )
    else:
        record.claim(folder)
    record.write_json(path, plan)
    (folder / "study.json").unlink(missing_ok=True)


def _fixed(plan: dict[str, Any]) -> Any:
    """What a study cannot change once it was begun."""
    plain = json.loads(json.dumps(plan))
    return {key: value for key, value in plain.items() if key not in ("seeds", "controls")}


def _finish(folder: Path, plan: dict[str, Any], planned: Sequence[PlannedRun]) -> Study:
    true = [run for run in planned if run.control is None]
    others = [run for run in planned if run.control is not None]
    _write_tables(folder, true, "runs.csv", "history.csv", ["run", "experiment"])
    if others:
        leading = ["run", "experiment", "control"]
        _write_tables(folder, others, "control_runs.csv", "control_history.csv", leading)
    metadata = StudyMetadata(
        experiments=tuple(ExperimentRecord.model_validate(each) for each in plan["experiments"]),
        seeds=tuple(plan["seeds"]),
        expert=plan["expert"],
        runs=tuple(
            RunRecord(name=run.name, experiment=run.of, seed=run.seed, control=run.control)
            for run in planned
        ),
    )
    finished = Study(folder, metadata)
    verdicts = VerdictFile(verdicts=verdict.of_study(finished))
    atomic_io.text(folder / "verdict.json", verdicts.to_json())
    atomic_io.text(folder / "study.json", metadata.to_json())
    return finished


def _write_tables(
    folder: Path, planned: Sequence[PlannedRun], scores: str, history: str, leading: list[str]
) -> None:
    import pandas as pd

    rows, histories = [], []
    for each in planned:
        run = load_run(folder / "runs" / each.name)
        values = {"run": each.name, "experiment": each.of, "control": each.control}
        first = {name: values[name] for name in leading}
        rows += [
            {**first, "seed": run.seed, "split": split, **of_split.model_dump()}
            for split, of_split in run.scores.items()
        ]
        histories.append(run.history.assign(**first)[[*first, *run.history.columns]])
    table = pd.DataFrame(rows)
    leading = [*leading, "seed", "split", "accuracy", "loss"]
    table = table[leading + [column for column in table.columns if column not in leading]]
    record.write_table(folder / scores, table)
    # A control without epochs has no rows here.
    told = [each for each in histories if not each.empty] or histories[:1]
    record.write_table(folder / history, pd.concat(told, ignore_index=True))
