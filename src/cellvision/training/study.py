"""A study: several runs from several seeds, of one experiment or of a grid of them."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors, remote
from cellvision.training import cluster, processes, record
from cellvision.training.fit import Trainer
from cellvision.training.material import gather_material
from cellvision.training.progress import Display, displayed
from cellvision.training.reports import make_reports
from cellvision.training.run import Run, check_schema, load_run
from cellvision.training.together import train_many
from cellvision.training.train import train_once, with_reporters

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from cellvision.experiment import Experiment

SCHEMA = 1
"""The version of a study's folder."""

_PLAN = ".plan.json"
"""What was asked, written first: by it an interrupted study is known again."""

_log = logging.getLogger(__name__)


def load_study(folder: str | os.PathLike[str]) -> Study:
    """Open a study's folder.

    Parameters
    ----------
    folder
        As given to `study`. From an address on remote storage it is copied to this machine.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds no finished study.
    """
    with remote.finished(folder) as here:
        return _load_study(here)


def _load_study(folder: Path) -> Study:
    try:
        content = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        unfinished = (folder / _PLAN).is_file()
        raise errors.FolderError(
            f"{folder}: no finished study is here (it has no study.json)",
            "It was interrupted: give the same command again and it goes on"
            if unfinished
            else "Name the folder that cellvision study --out made",
        ) from None
    except (OSError, ValueError) as error:
        raise errors.FolderError(
            f"{folder / 'study.json'}: cannot be read: {error}", "Restore it"
        ) from None
    check_schema(folder / "study.json", content, SCHEMA)
    return Study(folder, content)


class Study:
    """A finished study.

    Parameters
    ----------
    folder
        Its folder.
    record
        What ``study.json`` holds.
    """

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record

    def __repr__(self) -> str:
        runs, names = len(self.record["runs"]), len(self.names)
        return f"<Study {self.folder}: {runs} run(s) of {names} experiment(s)>"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its experiments."""
        return tuple(entry["name"] for entry in self.record["experiments"])

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Its runs, in order."""
        return tuple(load_run(self.folder / "runs" / name) for name in self.record["runs"])

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each run and split: run, experiment, seed, split and the scores."""
        return self._table("runs.csv")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row for each run and epoch: run, experiment, and a run's history."""
        return self._table("history.csv")

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        path = self.folder / name
        if not path.is_file():
            raise errors.FolderError(f"{path}: there is no such file", "Restore it")
        # Names stay text, also an experiment called "50" or "null".
        return pd.read_csv(
            path,
            dtype=dict.fromkeys(("run", "experiment", "split"), str),
            keep_default_na=False,
            na_values=[""],
        )


def study(
    experiment: Experiment | Mapping[str, Experiment],
    runs: int,
    out: str | os.PathLike[str],
    *,
    expert: Mapping[str, float] | None = None,
    client: Client | None = None,
    progress: bool | None = None,
) -> Study:
    """Repeat a training from several seeds, to see how much of a result is luck.

    The images are read and the network is compiled once for an experiment; each run draws
    new weights. An interrupted study goes on where it stopped when it is asked for again.

    Parameters
    ----------
    experiment
        What is asked, or several experiments by name (architectures, data sets, options).
    runs
        How many runs of each. Their seeds are the experiment's ``training.seed`` and the
        numbers that follow it.
    out
        The study's folder, or an address on remote storage, where the study arrives when it is
        finished.
    expert
        A person's accuracy on a split, by the split's name, for figures to show.
    client
        A ``distributed.Client``: the runs are done by its Dask cluster's workers, which must
        find the images where this process does. None does them here, one after the other.
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
    errors.InvalidInput, errors.LeakError
        As for `train`.
    errors.CellvisionError
        The cluster was lost, or its workers differ from this process or end over a run.
    """
    if runs < 1:
        raise errors.ExperimentError(f"a study needs at least one run, not {runs}", "--runs 12")
    processes.refuse_several("a study")
    experiments = _named(experiment)
    plan = {
        "schema": SCHEMA,
        "experiments": [
            {"name": name, "experiment": each.model_dump(mode="json")}
            for name, each in experiments.items()
        ],
        "seeds": [next(iter(experiments.values())).training.seed + k for k in range(runs)],
        "expert": dict(expert or {}),
    }
    planned = _planned(experiments, runs)
    with displayed(progress) as display, remote.results(out) as folder:
        _claim(folder, plan)
        places = folder / "runs"
        waiting = [run for run in planned if not (places / run.name / "run.json").is_file()]
        if client is None:
            _carry_out_here(waiting, places, len(planned), display)
        else:
            cluster.carry_out(client, waiting, places, len(planned) - len(waiting), display)
        finished = _finish(folder, plan, experiments, runs)
        first = next(iter(experiments.values()))
        for fault in make_reports(finished, first.reporters or ())[1]:
            _log.warning("%s", fault.what)
    return finished


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of a study, done or not.

    Attributes
    ----------
    place : int
        Its place in the study, from 0.
    experiment : Experiment
        What is asked.
    seed : int
        Of this run.
    """

    place: int
    experiment: Experiment
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.place:03d}"


def _planned(experiments: Mapping[str, Experiment], runs: int) -> list[PlannedRun]:
    asked = itertools.product(experiments.values(), range(runs))
    return [
        PlannedRun(place, each, each.training.seed + k) for place, (each, k) in enumerate(asked)
    ]


def _carry_out_here(
    waiting: Sequence[PlannedRun], folder: Path, total: int, display: Display
) -> None:
    """Do runs in this process, those of one experiment with one compiled network."""
    for experiment, theirs in itertools.groupby(waiting, attrgetter("experiment")):
        runs = list(theirs)
        trainer = Trainer(gather_material(experiment, display.decoded))
        seeds, places = [run.seed for run in runs], [folder / run.name for run in runs]
        done = train_many(trainer, seeds, places, display)
        for run in runs[done:]:
            display.run(run.place + 1, total, run.seed)
            train_once(trainer, run.seed, record.claim(folder / run.name), display)


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
    path = folder / _PLAN
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        if _but_seeds(begun) != _but_seeds(plan) or begun["seeds"][0] != plan["seeds"][0]:
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
    else:
        record.claim(folder)
    record.write_json(path, plan)
    (folder / "study.json").unlink(missing_ok=True)


def _but_seeds(plan: dict[str, Any]) -> Any:
    plain = json.loads(json.dumps(plan))
    return {key: value for key, value in plain.items() if key != "seeds"}


def _finish(
    folder: Path, plan: dict[str, Any], experiments: Mapping[str, Experiment], runs: int
) -> Study:
    import pandas as pd

    scores, histories = [], []
    names = {f"{k:03d}": name for k, name in enumerate(n for n in experiments for _ in range(runs))}
    for label, name in names.items():
        run = load_run(folder / "runs" / label)
        first = {"run": label, "experiment": name}
        scores += [
            {**first, "seed": run.record["seed"], "split": split, **values}
            for split, values in run.scores.items()
        ]
        histories.append(run.history.assign(**first)[[*first, *run.history.columns]])
    table = pd.DataFrame(scores)
    leading = ["run", "experiment", "seed", "split", "accuracy", "loss"]
    table = table[leading + [column for column in table.columns if column not in leading]]
    record.write_table(folder / "runs.csv", table)
    record.write_table(folder / "history.csv", pd.concat(histories, ignore_index=True))
    content = {**plan, "runs": list(names)}
    record.write_json(folder / "study.json", content)
    return Study(folder, content)
