"""A study: several runs from several seeds, of one experiment or of a grid of them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.training import record, verdicts
from cellvision.training.controls import chosen, control_material, measure_once
from cellvision.training.fit import Trainer
from cellvision.training.material import gather_material
from cellvision.training.progress import Display, displayed
from cellvision.training.reports import make_reports
from cellvision.training.run import Run, check_schema, load_run
from cellvision.training.train import train_once, with_reporters

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.experiment import Experiment
    from cellvision.training.material import Material

SCHEMA = 1
"""The version of a study's folder."""

_PLAN = ".plan.json"
"""What was asked, written first: by it an interrupted study is known again."""

_log = logging.getLogger(__name__)


def load_study(folder: str | os.PathLike[str]) -> Study:
    """Open a study's folder.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds no finished study.
    """
    folder = Path(folder)
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
        """Its runs, in order; those of controls are not among them."""
        return tuple(load_run(self.folder / "runs" / name) for name in self.record["runs"])

    @cached_property
    def controls(self) -> dict[str, tuple[Run, ...]]:
        """The runs of each control, by its name; empty where none was run."""
        named = self.record.get("controls") or {}
        return {
            control: tuple(load_run(self.folder / "runs" / name) for name in names)
            for control, names in named.items()
        }

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each run and split: run, experiment, seed, split and the scores."""
        return self._table("runs.csv")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row for each run and epoch: run, experiment, and a run's history."""
        return self._table("history.csv")

    @cached_property
    def control_table(self) -> pd.DataFrame:
        """As `table`, for the runs of controls, with a column ``control``."""
        return self._table("control_runs.csv")

    @cached_property
    def control_history(self) -> pd.DataFrame:
        """As `history`, for the runs of controls, with a column ``control``."""
        return self._table("control_history.csv")

    @cached_property
    def verdicts(self) -> list[dict[str, Any]]:
        """What it shows, for each experiment and test set, as ``verdict.json`` tells it."""
        path = self.folder / "verdict.json"
        try:
            told: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["verdicts"]
        except FileNotFoundError:  # made by an earlier version
            return verdicts.of_study(self)
        return told

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        path = self.folder / name
        if not path.is_file():
            raise errors.FolderError(f"{path}: there is no such file", "Restore it")
        # Names stay text, also an experiment called "50" or "null".
        return pd.read_csv(
            path,
            dtype=dict.fromkeys(("run", "experiment", "control", "split"), str),
            keep_default_na=False,
            na_values=[""],
        )


def study(
    experiment: Experiment | Mapping[str, Experiment],
    runs: int,
    out: str | os.PathLike[str],
    *,
    controls: Sequence[str] = (),
    expert: Mapping[str, float] | None = None,
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
        The study's folder.
    controls
        Which controls to run beside them, with the same network, epochs and seeds:
        ``"permuted_groups"``, ``"permuted_images"``, ``"background"``, ``"intensity"``. A study
        that was done without may be given them later.
    expert
        A person's accuracy on a split, by the split's name, for figures to show.
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
    """
    if runs < 1:
        raise errors.ExperimentError(f"a study needs at least one run, not {runs}", "--runs 12")
    folder = Path(out)
    experiments = _named(experiment)
    plan: dict[str, Any] = {
        "schema": SCHEMA,
        "experiments": [
            {"name": name, "experiment": each.model_dump(mode="json")}
            for name, each in experiments.items()
        ],
        "seeds": [next(iter(experiments.values())).training.seed + k for k in range(runs)],
        "controls": list(chosen(controls)),
        "expert": dict(expert or {}),
    }
    _claim(folder, plan)
    planned = _planned(experiments, runs, plan["controls"])
    with displayed(progress) as display:
        for each in experiments.values():
            waiting = [run for run in planned if run.experiment is each and not run.done(folder)]
            if waiting:
                _train(waiting, planned, folder, display)
        finished = _finish(folder, plan, planned)
        first = next(iter(experiments.values()))
        for fault in make_reports(finished, first.reporters or ())[1]:
            _log.warning("%s", fault.what)
    return finished


@dataclass(frozen=True, eq=False)
class _Planned:
    """One run of a study.

    Attributes
    ----------
    name : str
        Of its folder in ``runs``.
    of : str
        The name of its experiment.
    experiment : Experiment
        That experiment.
    seed : int
        Its own.
    control : str or None
        The control that it is a run of.
    """

    name: str
    of: str
    experiment: Experiment
    seed: int
    control: str | None = None

    def done(self, folder: Path) -> bool:
        """Whether it is in the study's folder, finished."""
        return (folder / "runs" / self.name / "run.json").is_file()


def _planned(
    experiments: Mapping[str, Experiment], runs: int, controls: Sequence[str]
) -> list[_Planned]:
    """All runs of a study in order: of each experiment, those of the true labels first."""
    planned = []
    for number, (name, each) in enumerate(experiments.items()):
        own = [
            _Planned(f"{number * runs + k:03d}", name, each, each.training.seed + k)
            for k in range(runs)
        ]
        planned += own
        for control in controls:
            # Nothing is left to chance in the intensity control, so one run tells all.
            beside = own[:1] if control == "intensity" else own
            planned += [
                replace(run, name=f"{control}_{run.name}", control=control) for run in beside
            ]
    return planned


def _train(
    waiting: Sequence[_Planned], planned: Sequence[_Planned], folder: Path, display: Display
) -> None:
    """Do runs of one experiment: its images are read and its network is compiled once."""
    material = gather_material(waiting[0].experiment, display.decoded)
    trainer: Trainer | None = None
    masked: Material | None = None
    for run in waiting:
        display.run(planned.index(run) + 1, len(planned), run.seed, run.control)
        place = record.claim(folder / "runs" / run.name)
        given = material
        if run.control == "background":
            masked = masked or control_material(run.control, material, run.seed, display.masked)
            given = masked
        elif run.control is not None:
            given = control_material(run.control, material, run.seed)
        if run.control == "intensity":
            measure_once(given, run.seed, place)
            continue
        trainer = trainer or Trainer(material)
        train_once(trainer.on(given), run.seed, place, display)


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


def _finish(folder: Path, plan: dict[str, Any], planned: Sequence[_Planned]) -> Study:
    true = [run for run in planned if run.control is None]
    others = [run for run in planned if run.control is not None]
    _write_tables(folder, true, "runs.csv", "history.csv", ["run", "experiment"])
    if others:
        leading = ["run", "experiment", "control"]
        _write_tables(folder, others, "control_runs.csv", "control_history.csv", leading)
    content = {
        **plan,
        "runs": [run.name for run in true],
        "controls": {
            control: [run.name for run in others if run.control == control]
            for control in plan["controls"]
        },
    }
    made = Study(folder, content)
    record.write_json(
        folder / "verdict.json", {"schema": SCHEMA, "verdicts": verdicts.of_study(made)}
    )
    record.write_json(folder / "study.json", content)
    return made


def _write_tables(
    folder: Path, planned: Sequence[_Planned], scores: str, history: str, leading: list[str]
) -> None:
    import pandas as pd

    rows, histories = [], []
    for each in planned:
        run = load_run(folder / "runs" / each.name)
        values = {"run": each.name, "experiment": each.of, "control": each.control}
        first = {name: values[name] for name in leading}
        rows += [
            {**first, "seed": run.record["seed"], "split": split, **of_split}
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
