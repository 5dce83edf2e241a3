"""Pool the folds of a cross-validated run: one table of predictions that no fold was trained on.

Every pooled run has a folder like a run's own, without a network, so that whatever reads a run
(verdicts, reporters, tables) reads the out-of-fold predictions of a study.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io
from cellvision.data.catalog import GROUPS_UNKNOWN
from cellvision.results.group_table import group_table
from cellvision.results.metadata import LeakRecord, RunMetadata, RunRecord, Timings
from cellvision.results.run import load_run
from cellvision.results.scores import Score, cross_entropy
from cellvision.results.tables import write_json, write_table
from cellvision.results.untrained import untrained_networks
from cellvision.studies.folds import left_out_column, pooled_name

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run
    from cellvision.studies.plan import PlannedRun

FOLDER = "out_of_fold"
"""Folder of the pooled runs in the folder of a study."""

_TEST = "test"


def write_pooled_runs(
    folder: Path, planned: Sequence[PlannedRun]
) -> tuple[tuple[RunRecord, ...], dict[str, str]]:
    """Write the pooled runs of a study.

    Parameters
    ----------
    folder
        Folder of the study.
    planned
        Its runs, all of them finished.

    Returns
    -------
    records : tuple of RunRecord
        The pooled runs: one for each seed of an experiment or control.
    means : dict
        By experiment, the pooled run with the mean probabilities over seeds.
    """
    target = folder / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    parts: dict[str, list[PlannedRun]] = {}
    for run in planned:
        if run.fold is not None:
            parts.setdefault(pooled_name(run), []).append(run)
    records = []
    for name, runs in parts.items():
        first = runs[0]
        _pool(
            target / name,
            [load_run(folder / "runs" / run.name) for run in runs],
            left_out_column(first.experiment),
        )
        records.append(
            RunRecord(
                name=name, experiment=first.experiment_name, seed=first.seed, control=first.control
            )
        )
    return tuple(records), _write_means(target, records)


def _write_means(target: Path, records: Sequence[RunRecord]) -> dict[str, str]:
    """Write the mean over seeds of each experiment; with one seed it is that run itself."""
    means = {}
    for number, name in enumerate(dict.fromkeys(record.experiment for record in records)):
        names = [r.name for r in records if r.experiment == name and r.control is None]
        means[name] = names[0]
        if len(names) > 1:
            means[name] = f"mean_{number:03d}"
            _average(target / means[name], [load_run(target / each) for each in names])
    return means


def _pool(folder: Path, folds: Sequence[Run], left_out: str | None) -> None:
    """Write the run of one seed, pooled over its folds, which leave out values of a column."""
    import pandas as pd

    tables = [run.predictions[run.predictions["split"].isin(run.test_splits)] for run in folds]
    provenance = pd.concat([run.provenance for run in folds]).drop_duplicates("image")
    table = _once_per_image(pd.concat(tables), folds[0].class_names)
    table = table.loc[[image for image in provenance["image"] if image in table.index]]
    known = {None, folds[0].group_column, folds[0].batch_column}
    left_out = None if left_out in known else left_out
    training = {
        split: _mean_score(
            [_training_score(run, split, left_out) for run in folds if split in run.scores]
        )
        for split in dict.fromkeys(name for run in folds for name in run.scores)
        if split not in folds[0].test_splits
    }
    _write(folder, folds, table.reset_index(), provenance, training, len(folds), left_out)


def _average(folder: Path, runs: Sequence[Run]) -> None:
    """Write the mean over the seeds of an experiment."""
    columns = [f"p_{name}" for name in runs[0].class_names]
    table = runs[0].predictions.set_index("image")
    total = sum(run.predictions.set_index("image").loc[table.index, columns] for run in runs)
    table[columns] = total / len(runs)
    table["predicted"] = _most_probable(table, runs[0].class_names)
    training = {
        split: _mean_score([run.scores[split] for run in runs])
        for split in runs[0].scores
        if split not in runs[0].test_splits
    }
    folds = runs[0].metadata.folds or 1
    left_out = runs[0].metadata.left_out_column
    _write(folder, runs, table.reset_index(), runs[0].provenance, training, folds, left_out)


def _once_per_image(table: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Index by image; an image that several folds test gets their mean probabilities."""
    columns = [f"p_{name}" for name in class_names]
    by_image = table.groupby("image", sort=False)
    result = by_image[["split", "group", "label"]].first()
    result[columns] = by_image[columns].mean()
    result.insert(3, "predicted", _most_probable(result, class_names))
    return result.assign(split=_TEST)


def _most_probable(table: pd.DataFrame, class_names: Sequence[str]) -> np.ndarray:
    columns = [f"p_{name}" for name in class_names]
    names = np.array(class_names, dtype=object)
    return np.asarray(names[table[columns].to_numpy(np.float64).argmax(axis=1)])


def _write(
    folder: Path,
    parts: Sequence[Run],
    table: pd.DataFrame,
    provenance: pd.DataFrame,
    training: Mapping[str, Score],
    folds: int,
    left_out: str | None,
) -> None:
    """Write the folder of a pooled run; `parts` are the runs that are pooled or averaged."""
    first = parts[0]
    first_columns = ["image", "split", "group", "label", "predicted"]
    table = table[first_columns + [name for name in table.columns if name not in first_columns]]
    with atomic_io.folder(folder) as arriving:
        write_table(arriving / "predictions.csv", table)
        rows = provenance.set_index("image").loc[table["image"]].reset_index()
        write_table(arriving / "provenance.csv", rows)
        write_table(arriving / "history.csv", _mean_history(parts))
        if first.group_column is not None:
            write_table(arriving / "groups.csv", group_table(table, rows, first.class_names))
        counts = {_TEST: {n: int((table["label"] == n).sum()) for n in first.class_names}}
        write_json(arriving / "audit.json", _audit(first, counts, table))
        score = _score(first, table, rows, left_out, cross_validated=True)
        metadata = _metadata(parts, score, training, counts, folds)
        if left_out is not None:  # its values are the groups over which results are judged
            warnings = [w for w in metadata.warnings if not w.startswith(GROUPS_UNKNOWN)]
            changes = {"left_out_column": left_out, "warnings": tuple(warnings)}
            metadata = metadata.model_copy(update=changes)
        atomic_io.text(arriving / "run.json", metadata.to_json())


def _training_score(run: Run, split: str, left_out: str | None) -> Score:
    """Return the score of a fold on images that it was trained on, over the units of the study."""
    score, table = run.scores[split], run.predictions_of(split)
    if left_out is None or table.empty:
        return score
    over_units = _score(run, table, run.provenance, left_out, cross_validated=False)
    return over_units.model_copy(update={"loss": score.loss})


def _score(
    first: Run,
    table: pd.DataFrame,
    provenance: pd.DataFrame,
    left_out: str | None,
    *,
    cross_validated: bool,
) -> Score:
    """Score predictions; the values of the column that folds leave out are independent."""
    probabilities = table[[f"p_{name}" for name in first.class_names]].to_numpy(np.float64)
    numbers = {name: number for number, name in enumerate(first.class_names)}
    labels = table["label"].map(numbers).to_numpy(np.int64)
    groups = None if first.group_column is None else table["group"].to_numpy()
    units = None
    if left_out is not None:
        units = provenance.set_index("image").loc[table["image"], left_out].astype(str).to_numpy()
    return Score.from_predictions(
        labels,
        probabilities,
        groups,
        cross_entropy(labels, probabilities),
        units=units,
        class_names=first.class_names,
        cross_validated=cross_validated,
    )


def _mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of the scores of several folds on the images that they were trained on."""
    values: dict[str, Any] = {"interval": scores[0].interval}
    for name in Score.model_fields:
        numbers = [getattr(score, name) for score in scores]
        if name in ("interval", "classes"):
            continue
        if any(number is None for number in numbers):
            values[name] = None
        else:
            mean = float(np.mean(numbers))
            values[name] = round(mean) if isinstance(numbers[0], int) else mean
    return Score.model_validate(values)


def _mean_history(parts: Sequence[Run]) -> pd.DataFrame:
    """Return the mean of each epoch over the folds that reached it."""
    import pandas as pd

    histories = [run.history for run in parts if not run.history.empty]
    if not histories:
        return parts[0].history
    return pd.concat(histories).groupby("epoch", as_index=False).mean()


def _audit(
    first: Run, counts: Mapping[str, Mapping[str, int]], table: pd.DataFrame
) -> dict[str, Any]:
    """Return the audit of the first fold, with the images that all folds tested."""
    content: dict[str, Any] = json.loads((first.folder / "audit.json").read_text("utf-8"))
    groups = table["image" if first.group_column is None else "group"].nunique()
    return {**content, "counts": counts, "groups": {_TEST: int(groups)}}


def _metadata(
    parts: Sequence[Run],
    score: Score,
    training: Mapping[str, Score],
    counts: dict[str, dict[str, int]],
    folds: int,
) -> RunMetadata:
    all_metadata = [run.metadata for run in parts]
    leaks: dict[str, LeakRecord] = {
        leak.model_dump_json(): leak for each in all_metadata for leak in each.leaks
    }
    kept_epochs = {each.kept_epoch for each in all_metadata}
    return all_metadata[0].model_copy(
        update={
            # Each fold is trained separately.
            "kept_epoch": kept_epochs.pop() if len(kept_epochs) == 1 else None,
            "solved": all(each.solved for each in all_metadata),
            "interrupted": any(each.interrupted for each in all_metadata),
            "folds": folds,
            "untrained_networks": sum(untrained_networks(run) for run in parts),
            "counts": counts,
            "scores": {**training, _TEST: score},
            "tta_scores": {},
            "test_sets": {_TEST: all_metadata[0].all_images} if all_metadata[0].all_images else {},
            "restarted_seeds": tuple(seed for m in all_metadata for seed in m.restarted_seeds),
            "timings": Timings(
                prepare_s=sum(m.timings.prepare_s for m in all_metadata),
                fit_s=sum(m.timings.fit_s for m in all_metadata),
                train_images_per_s=float(
                    np.mean([m.timings.train_images_per_s for m in all_metadata])
                ),
            ),
            "leaks": tuple(leaks.values()),
            "warnings": _warnings([run.warnings for run in parts]),
        }
    )


def _warnings(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return every warning once, and in how many folds it occurs if not in all."""
    counts = Counter(line for lines in lists for line in dict.fromkeys(lines))
    return tuple(
        line if count == len(lists) else f"{line} ({count} of {len(lists)} folds)"
        for line, count in counts.items()
    )
