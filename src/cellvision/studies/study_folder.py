"""The folder of a study: its plan at the start, its tables and records at the end."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors
from cellvision.interfaces.control import Control
from cellvision.local_plugins import digests_of, raise_if_changed
from cellvision.plain_settings import by_distribution
from cellvision.plurals import agreed, counted
from cellvision.results.claimed_folder import (
    PLAN,
    clear_folder,
    naming_folder,
    remove_temporaries,
)
from cellvision.results.environment import plugin_requirements
from cellvision.results.metadata import STUDY_SCHEMA, ExperimentRecord, RunRecord, StudyMetadata
from cellvision.results.run import load_run
from cellvision.results.study import Study
from cellvision.results.tables import write_json, write_table
from cellvision.results.verdicts import VerdictFile
from cellvision.studies.comparisons import compare_experiments
from cellvision.studies.control_description import described_controls, missing_controls
from cellvision.studies.controls import in_order
from cellvision.studies.ensemble import ensemble_records
from cellvision.studies.failed_controls import FailedControls
from cellvision.studies.folds import folds_by
from cellvision.studies.image_tables import write_image_tables
from cellvision.studies.looks import record_looks
from cellvision.studies.pooled_runs import FOLDER, write_pooled_runs
from cellvision.studies.same_study import raise_if_another_study
from cellvision.studies.sizes import learning_curves
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
    folds: Mapping[str, int],
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
        "folds": dict(folds),
        "plugins": plugin_requirements([*experiments.values(), *chosen.values()]),
        "local_plugins": digests_of([*experiments.values(), *chosen.values()]),
    }


def claim_study(folder: Path, plan: Plan) -> None:
    """Create a folder, or continue one in which the same study was started.

    The plan gets an ``id``, or that of the study that is continued.

    Raises
    ------
    errors.FolderError
        The folder holds other files, or another study.
    """
    path = folder / PLAN
    plan["id"] = uuid.uuid4().hex
    if path.is_file():
        started = _read_plan(path)
        _raise_if_different(folder, started, plan)
        plan["id"] = started.get("id", plan["id"])
        # Accuracies of an expert may be added later; those given before stay.
        plan["expert"] = {**started.get("expert", {}), **plan["expert"]}
        remove_temporaries(folder)
    else:
        clear_folder(folder)
    with naming_folder(folder):
        write_json(path, plan)


def _read_plan(path: Path) -> Plan:
    try:
        plan: Plan = json.loads(path.read_text(encoding="utf-8"))
        _ = plan["experiments"], plan["seeds"][0], [each["type"] for each in plan["controls"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise errors.ResumeError(
            f"{path}: the plan of the study cannot be read: {error}", "Name another folder."
        ) from None
    return plan


def _raise_if_different(folder: Path, started: Plan, plan: Plan) -> None:
    raise_if_changed(started.get("local_plugins", {}), plan["local_plugins"], folder, "study")
    raise_if_another_study(folder, started, plan)
    count = len(started["seeds"])
    if len(plan["experiments"]) > 1 and started["seeds"] != plan["seeds"]:
        raise errors.ResumeError(
            f"{folder}: a study of {counted(count, 'run')} was started here",
            f"Request {counted(count, 'run')} again, or name another folder.",
        )
    # Finished runs stay, because leaving some out would be a choice by their results.
    finished = max((k for k in range(count) if _has_run(folder, k)), default=-1) + 1
    if finished > len(plan["seeds"]):
        raise errors.ResumeError(
            f"{folder}: {counted(finished, 'run')} of this study of {count} "
            f"{agreed(finished, 'has')} ended",
            f"Request {counted(finished, 'run')} or more, or name another folder.",
        )
    plugins = started.get("plugins", {})
    recorded = [by_distribution(each, Control, plugins) for each in started["controls"]]
    omitted = [each for each in recorded if each not in plan["controls"]]
    if omitted:
        names = ", ".join(each["type"] for each in recorded)
        raise errors.ResumeError(
            f"{folder}: a study with the control {omitted[0]['type']!r} was started here, and "
            "this one lacks it or has other settings for it",
            f"Request its controls again ({names}), or name another folder.",
        )


def _has_run(folder: Path, number: int) -> bool:
    """Whether a run of this number is finished, in some fold or of some control."""
    name = re.compile(rf"(.*_)?{number:03d}(_fold\d+)?")
    return any(name.fullmatch(path.parent.name) for path in folder.glob("runs/*/run.json"))


def finish_study(
    folder: Path, plan: Plan, planned: Sequence[PlannedRun], failed: FailedControls
) -> Study:
    """Write tables, ensembles, verdicts and the record of a study.

    Parameters
    ----------
    folder
        Its folder; ``study.json`` is written last.
    plan
        Its plan.
    planned
        Its runs, all of them finished but those of the controls that failed.
    failed
        These controls.

    Raises
    ------
    errors.FolderError
        The images have changed while the study ran, so its runs are not comparable.
    """
    finished_runs = failed.without(planned)
    _raise_if_images_changed(folder / "runs", finished_runs)
    with naming_folder(folder):
        # Until now, the study is readable as it was before it was continued.
        (folder / "study.json").unlink(missing_ok=True)
        _write_all_tables(folder, finished_runs)
        metadata = _metadata(folder, plan, finished_runs, failed)
        finished = Study(folder, metadata)
        write_image_tables(finished)
        looks = record_looks(finished, plan["id"])
        verdicts = VerdictFile(
            verdicts=study_verdicts(finished, looks),
            pairs=compare_experiments(finished),
            learning_curves=learning_curves(finished),
        )
        atomic_io.text(folder / "verdict.json", verdicts.to_json())
        atomic_io.text(folder / "study.json", metadata.to_json())
    return finished


def _raise_if_images_changed(folder: Path, planned: Sequence[PlannedRun]) -> None:
    """Refuse runs of one experiment on different images: each worker reads them by itself."""
    first: dict[tuple[str, int | None], tuple[str, str]] = {}
    for run in planned:
        images = None if run.control else load_run(folder / run.name).metadata.all_images
        if images is None:
            continue
        name, trained_on = first.setdefault((run.experiment_name, run.fold), (run.name, images))
        if trained_on != images:
            raise errors.FolderError(
                f"{folder / run.name}: this run was trained on other images than {name}, because "
                "images or labels have changed while the study ran",
                "Restore them, remove the folders of the runs on the others, and give the same "
                "command again.",
            )


def _write_all_tables(folder: Path, planned: Sequence[PlannedRun]) -> None:
    own_runs = [run for run in planned if run.control is None]
    control_runs = [run for run in planned if run.control is not None]
    fold = ["fold"] if any(run.fold is not None for run in planned) else []
    _write_tables(folder, own_runs, "runs.csv", "history.csv", ["run", "experiment", *fold])
    if control_runs:
        columns = ["run", "experiment", "control", *fold]
        _write_tables(folder, control_runs, "control_runs.csv", "control_history.csv", columns)


def _metadata(
    folder: Path, plan: Plan, planned: Sequence[PlannedRun], failed: FailedControls
) -> StudyMetadata:
    missing = {
        name: in_order(
            missing_controls(run, planned, load_run(folder / "runs" / run.name))
            | {control: each.control for control, each in failed.of(name).items()}
        )
        for name, run in {r.experiment_name: r for r in planned if r.control is None}.items()
    }
    pooled, means = write_pooled_runs(folder, planned)
    reasons = {
        name: {control: each.reason for control, each in failed.of(name).items()}
        for name in missing
    }
    records = tuple(
        record.model_copy(update={"failed_controls": reasons[record.name]})
        for record in _experiment_records(folder, plan, planned, means, missing)
    )
    metadata = StudyMetadata(
        experiments=records,
        seeds=tuple(plan["seeds"]),
        expert=plan["expert"],
        runs=tuple(
            RunRecord(
                name=run.name,
                experiment=run.experiment_name,
                seed=run.seed,
                control=run.control,
                fold=run.fold,
            )
            for run in planned
        ),
        out_of_fold=pooled,
        controls=described_controls(planned, missing.values()),
    )
    ensembles = ensemble_records(Study(folder, metadata).experiments)
    return metadata.model_copy(update={"ensembles": ensembles})


def _experiment_records(
    folder: Path,
    plan: Plan,
    planned: Sequence[PlannedRun],
    means: Mapping[str, str],
    missing: Mapping[str, Controls],
) -> tuple[ExperimentRecord, ...]:
    records = []
    for entry in plan["experiments"]:
        name = entry["name"]
        record = ExperimentRecord.model_validate(
            {**entry, "missing_controls": tuple(missing[name])}
        )
        if name in means:
            run = next(run for run in planned if run.experiment_name == name)
            first = load_run(folder / FOLDER / means[name])
            update = {
                "folds": plan["folds"][name],
                "folds_by": folds_by(run.experiment, first.group_column, first.batch_column),
                "out_of_fold": means[name],
            }
            record = record.model_copy(update=update)
        records.append(record)
    return tuple(records)


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
            "fold": planned_run.fold,
        }
        leading = {name: names[name] for name in columns}
        rows += [
            {**leading, "seed": run.seed, "split": split, **score.model_dump(exclude={"classes"})}
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
