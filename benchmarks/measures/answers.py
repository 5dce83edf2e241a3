"""Test accuracy on real images, beside other tools, on the same split. Runs only if named."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.bench import Bench, PeerResults
from benchmarks.problems import PROBLEMS, Problem
from benchmarks.process import Peer, ProcessResult
from benchmarks.result import Result, Row

STANDARD = Peer("cellvision, recipe standard", "cellvision_answer", (), {"recipe": "standard"})
PEERS = (
    STANDARD,
    Peer("cellvision, scattering", "cellvision_answer", (), {"recipe": "scattering"}),
    Peer("cellvision, recipe page", "cellvision_answer", (), {"recipe": "page"}),
    Peer("texture features and SVM", "texture_svm", ("skimage", "sklearn")),
    Peer("Keras tutorial", "keras_tutorial"),
    Peer("fastai, not pretrained", "fastai_scratch", ("fastai",)),
    Peer("AutoGluon", "autogluon_images", ("autogluon.multimodal",)),
)
SEEDS = 5


def measure(bench: Bench) -> list[Result]:
    """Compare test accuracies on every problem whose folder is in ``--data``.

    Raises
    ------
    SystemExit
        ``--data`` names no folder with images of a problem.
    """
    problems = [
        problem for problem in PROBLEMS if bench.data and (bench.data / problem.folder).is_dir()
    ]
    if not problems:
        names = ", ".join(dict.fromkeys(problem.folder for problem in PROBLEMS))
        raise SystemExit(f"error: --data must name a folder with images: {names}")
    return [_compare(bench, problem) for problem in problems]


def _compare(bench: Bench, problem: Problem) -> Result:
    assert bench.data is not None
    seeds = 1 if bench.quick else max(SEEDS, bench.repeats)
    bench = replace(bench, repeats=seeds)
    split = problem.split(bench.data)
    table = bench.work / "split.csv"
    split.to_csv(table, index=False)
    task: dict[str, Any] = {
        "table": str(table),
        "folder": str(bench.data / problem.folder),
        "group": problem.group,
        "classes": problem.classes,
        "quick": bench.quick,
    }

    def work(peer: Peer, repeat: int) -> ProcessResult:
        return peer.run({**task, "seed": repeat}, bench.cache("answers"))

    results = bench.interleave(PEERS, work)
    test = split[split["split"] == "test"]
    labels = test["label"].to_numpy()
    groups = test["group"].to_numpy() if problem.group else None
    right = {
        label: np.array([np.array(one.output["predicted"]) == labels for one in entry.results])
        for label, entry in results.items()
        if entry.results
    }
    rows = [_row(label, entry, right.get(label), groups) for label, entry in results.items()]
    what = "groups unknown" if groups is None else f"{len(set(groups))} groups"
    counts = split["split"].value_counts()
    differences = [
        _difference(right[STANDARD.label], right[label], label, groups)
        for label in right
        if label != STANDARD.label and STANDARD.label in right
    ]
    return Result(
        f"Test accuracy, {problem.name}",
        "accuracy",
        f"{counts['train']} training and {len(test)} test images, {what}; {seeds} seeds and one "
        f"split. Intervals: 95 %, of the mean over seeds. {' '.join(differences)}",
        rows,
    )


def _row(label: str, entry: PeerResults, right: np.ndarray | None, groups: Any) -> Row:
    if right is None:
        return Row(label, note=entry.note)
    from cellvision.statistics import accuracy_interval

    interval = accuracy_interval(right.mean(axis=0), groups)
    values = [float(one.mean()) for one in right]
    seconds = mean(one.wall_s for one in entry.results)
    note = (
        f"mean {mean(values):.3f} ({interval.low:.3f} to {interval.high:.3f}), "
        f"{seconds:.0f} s per training"
    )
    return Row(label, values, note=note)


def _difference(ours: np.ndarray, theirs: np.ndarray, label: str, groups: Any) -> str:
    """Describe the difference of two tools' mean accuracies, paired by image."""
    from cellvision.statistics import paired_difference

    interval = paired_difference(ours.mean(axis=0), theirs.mean(axis=0), groups)
    return (
        f"Standard − {label}: {interval.estimate:+.3f} "
        f"({interval.low:+.3f} to {interval.high:+.3f})."
    )
