"""Warnings that every figure, table and page must carry: leaks, controls, unknown groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellvision import Audit, Run, Study

_KINDS = {"shared_group": "groups", "identical_pixels": "identical images"}

GROUPS_UNKNOWN = (
    "Groups unknown: images were treated as independent; if they are not, accuracy and p-value "
    "are optimistic."
)
"""The note on results whose images have no known group."""


def _runs(results: Run | Study | Audit) -> Sequence[Run]:
    runs: Sequence[Run] | None = getattr(results, "runs", None)
    return [results] if runs is None else runs  # type: ignore[list-item]


def leak_banner(results: Run | Study | Audit) -> str:
    """Return one line that begins with ``LEAK``, or an empty string if splits share nothing."""
    shared: Counter[tuple[str, str]] = Counter()
    # An audit lists its leaks itself.
    own = getattr(results, "leaks", None)
    found = [own] if own is not None else [run.metadata.leaks for run in _runs(results)]
    for leaks in found:
        shared |= Counter(
            (" and ".join(leak.splits), _KINDS.get(leak.kind, leak.kind)) for leak in leaks
        )
    if not shared:
        return ""
    parts = [f"{splits} share {kind} ({count})" for (splits, kind), count in shared.items()]
    return f"LEAK: {'; '.join(parts)}. The scores are too optimistic."


def control_banner(results: Run | Study | Audit) -> str:
    """Return one line that marks the run of a control; empty for all other results."""
    control = getattr(results, "control", None)
    return f"CONTROL ({control}): not a result of the experiment." if control else ""


def group_note(results: Run | Study | Audit) -> str:
    """Return the note on unknown groups; empty if the groups are known, and for an audit."""
    if hasattr(results, "leaks"):  # an audit, which has no accuracy
        return ""
    return GROUPS_UNKNOWN if any(run.group_column is None for run in _runs(results)) else ""


def banners(results: Run | Study | Audit) -> Sequence[str]:
    """Return all lines that apply to a run or study."""
    lines = (leak_banner(results), control_banner(results), group_note(results))
    return [line for line in lines if line]
