"""The folder of a study: its plan at the start, its tables and records at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors
from cellvision.results.claimed_folder import clear_folder, naming_folder
from cellvision.results.metadata import STUDY_SCHEMA, ExperimentRecord, RunRecord, StudyMetadata
from cellvision.results.run import load_run
from cellvision.results.study import PLAN, Study
from cellvision.results.tables import write_json, write_table
from cellvision.results.verdicts import VerdictFile
from cellvision.studies.control_description import described_controls, missing_controls
from cellvision.studies.controls import in_order
from cellvision.studies.ensemble import ensemble_records
from cellvision.studies.verdict import study_verdicts

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.studies.controls import Controls
    from cellvision.studies.plan import PlannedRun

Plan = dict[str, Any]
"""Content of the plan file: what was requested."""


def study_plan(
    experiments: Mapping[str, Experiment],
    runs: int,
    controls: Mapping[str, Controls],
    expert: Mapping[str, float],
) -> Plan:
    """Return the plan of a study, as it is written before the first run."""
    chosen = in_order({k: v for each in controls.values() for k, v in each.items()})
    first_seed = next(iter(experiments.values())).training.seed
    return {
        "schema": STUDY_SCHEMA,
        "experiments": [
            {"name": name, "experiment": experiment.model_dump(mode="json")}
            for name, experiment in experiments.items()
        ],
        "seeds": [first_seed + k for k in range(runs)],
        "controls": [control.model_dump(mode="json") for control in chosen.values()],
        "expert": dict(expert),
    }


def claim_study(folder: Path, plan: Plan) -> None:
    """Create a folder, or continue one in which the same study was started.

    Raises
    ------
    errors.FolderError
        The folder holds other files, or another study.
    """
    path = folder / PLAN
    if path.is_file():
        _raise_if_different(folder, _read_plan(path), plan)
    else:
        clear_folder(folder)
    with naming_folder(folder):
        write_json(path, plan)
        (folder / "study.json").unlink(missing_ok=True)


def _read_plan(path: Path) -> Plan:
    try:
        plan: Plan = json.loads(path.read_text(encoding="utf-8"))
        _ = plan["experiments"], plan["seeds"][0], [each["type"] for each in plan["controls"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise errors.FolderError(
            f"{path}: the plan of the study cannot be read: {error}", "Name another folder."
        ) from None
    return plan


def _raise_if_different(folder: Path, started: Plan, plan: Plan) -> None:
    if _unchangeable(started) != _unchangeable(plan) or started["seeds"][0] != plan["seeds"][0]:
        raise errors.FolderError(
            f"{folder}: another study was started here", "Name another folder, or remove this one."
        )
    has_fewer_runs = any(seed not in plan["seeds"] for seed in started["seeds"])
    has_several = len(plan["experiments"]) > 1 and started["seeds"] != plan["seeds"]
    if has_fewer_runs or has_several:
        count = len(started["seeds"])
        raise errors.FolderError(
            f"{folder}: a study of {count} runs was started here",
            f"Request {count} runs again, or name another folder.",
        )
    omitted = [each for each in started.get("controls", ()) if each not in plan["controls"]]
    if omitted:
        names = ", ".join(each["type"] for each in started["controls"])
        raise errors.FolderError(
            f"{folder}: a study with the control {omitted[0]['type']!r} was started here, and "
            "this one lacks it or has other settings for it",
            f"Request its controls again ({names}), or name another folder.",
        )


def _unchangeable(plan: Plan) -> Any:
    """Return the part of a plan that cannot change once a study has started."""
    plain = json.loads(json.dumps(plan))
    return {key: value for key, value in plain.items() if key not in ("seeds", "controls")}


def finish_study(folder: Path, plan: Plan, planned: Sequence[PlannedRun]) -> Study:
    """Write tables, ensembles, verdicts and the record of a study.

    Parameters
    ----------
    folder
        Its folder; ``study.json`` is written last.
    plan
        Its plan.
    planned
        Its runs, all of them finished.
    """
    with naming_folder(folder):
        _write_all_tables(folder, planned)
        metadata = _metadata(folder, plan, planned)
        finished = Study(folder, metadata)
        verdicts = VerdictFile(verdicts=study_verdicts(finished))
        atomic_io.text(folder / "verdict.json", verdicts.to_json())
        atomic_io.text(folder / "study.json", metadata.to_json())
    return finished


def _write_all_tables(folder: Path, planned: Sequence[PlannedRun]) -> None:
    own_runs = [run for run in planned if run.control is None]
    control_runs = [run for run in planned if run.control is not None]
    _write_tables(folder, own_runs, "runs.csv", "history.csv", ["run", "experiment"])
    if control_runs:
        columns = ["run", "experiment", "control"]
        _write_tables(folder, control_runs, "control_runs.csv", "control_history.csv", columns)


def _metadata(folder: Path, plan: Plan, planned: Sequence[PlannedRun]) -> StudyMetadata:
    missing = {
        run.experiment_name: missing_controls(run, planned, load_run(folder / "runs" / run.name))
        for run in {run.experiment_name: run for run in planned if run.control is None}.values()
    }
    metadata = StudyMetadata(
        experiments=tuple(
            ExperimentRecord.model_validate(
                {**entry, "missing_controls": tuple(missing[entry["name"]])}
            )
            for entry in plan["experiments"]
        ),
        seeds=tuple(plan["seeds"]),
        expert=plan["expert"],
        runs=tuple(
            RunRecord(
                name=run.name, experiment=run.experiment_name, seed=run.seed, control=run.control
            )
            for run in planned
        ),
        controls=described_controls(planned, missing.values()),
    )
    ensembles = ensemble_records(Study(folder, metadata).experiments)
    return metadata.model_copy(update={"ensembles": ensembles})


def _write_tables(
    folder: Path, planned: Sequence[PlannedRun], scores: str, history: str, columns: list[str]
) -> None:
    """Write scores and history of runs; `columns` come first."""
    import pandas as pd

    rows, histories = [], []
    for planned_run in planned:
        run = load_run(folder / "runs" / planned_run.name)
        names = {
            "run": planned_run.name,
            "experiment": planned_run.experiment_name,
            "control": planned_run.control,
        }
        leading = {name: names[name] for name in columns}
        rows += [
            {**leading, "seed": run.seed, "split": split, **score.model_dump()}
            for split, score in run.scores.items()
        ]
        histories.append(run.history.assign(**leading)[[*leading, *run.history.columns]])
    table = pd.DataFrame(rows)
    first = [*columns, "seed", "split", "accuracy", "loss"]
    table = table[first + [column for column in table.columns if column not in first]]
    write_table(folder / scores, table)
    # A control without epochs has no rows here.
    trained = [rows for rows in histories if not rows.empty] or histories[:1]
    write_table(folder / history, pd.concat(trained, ignore_index=True))
