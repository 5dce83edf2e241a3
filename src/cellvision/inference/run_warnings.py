"""What a reader of predictions should know of the runs whose networks predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.plugin_versions import changed_files

if TYPE_CHECKING:
    from cellvision.results.run import Run


def run_warnings(runs: Sequence[Run], *, averages_orientations: bool) -> list[str]:
    """Name interrupted runs, orientations that a training left out, and plugin files that changed.

    Parameters
    ----------
    runs
        The runs.
    averages_orientations
        Whether predictions are averaged over flips and turns.
    """
    interrupted = [
        f"{run.folder}: the training was interrupted after epoch {len(run.history)} of "
        f"{run.experiment.training.epochs}; --resume completes it."
        for run in runs
        if run.interrupted
    ]
    directed = _left_out(runs[0]) if averages_orientations else []  # runs share the experiment
    groups = ("cellvision.datasets", "cellvision.architectures")
    folders: dict[str, Path] = {}
    for run in runs:
        for line in changed_files(run.metadata.model_dump(), *groups):
            folders.setdefault(line, run.folder)
    return interrupted + directed + [f"{folder}: {line}" for line, folder in folders.items()]


def _left_out(run: Run) -> list[str]:
    """Say which orientations a training did not show, and why."""
    reason = run.experiment.recipe_reasons.get("augmenters")
    if reason is None or run.experiment.training.tta:
        return []
    return [
        f"{run.folder}: predictions are averaged over all flips and turns, but the training used "
        f"{reason}."
    ]
