"""What a reader of predictions should know of the runs whose networks predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.plugin_versions import changed_files

if TYPE_CHECKING:
    from cellvision.results.run import Run


def run_warnings(runs: Sequence[Run]) -> list[str]:
    """Name the runs that were interrupted, and the local plugin files that have changed since."""
    interrupted = [
        f"{run.folder}: the training was interrupted after epoch {len(run.history)} of "
        f"{run.experiment.training.epochs}; --resume completes it."
        for run in runs
        if run.interrupted
    ]
    groups = ("cellvision.datasets", "cellvision.architectures")
    folders: dict[str, Path] = {}
    for run in runs:
        for line in changed_files(run.metadata.model_dump(), *groups):
            folders.setdefault(line, run.folder)
    return interrupted + [f"{folder}: {line}" for line, folder in folders.items()]
