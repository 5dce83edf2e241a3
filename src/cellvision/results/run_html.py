"""A run as notebooks show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import notebook_html
from cellvision.results.scores import scores_table

if TYPE_CHECKING:
    from cellvision.results.run import Run


def run_html(run: Run) -> str:
    """Return the scores of a run and the main facts about it, as HTML."""
    pairs = (
        ("Classes", ", ".join(run.class_names)),
        ("Groups", run.unit_column or "unknown"),
        ("Seed", run.seed),
        ("Control", run.control),
        ("Epochs", f"{len(run.history)}, interrupted" if run.interrupted else None),
    )
    return notebook_html.document(
        f"Run {run.folder}",
        scores_table(run.scores),
        notebook_html.facts(pairs),
        notebook_html.notes("Warnings", run.warnings),
    )
