"""Warnings that every figure, table and page must carry: leaks, controls, unknown groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cellvision.data.audit import Audit
    from cellvision.results.run import Run
    from cellvision.results.study import Study

_KINDS = {
    "shared_group": "groups",
    "identical_pixels": "identical images",
    "near_duplicate": "near-duplicates",
}

_GROUPS_UNKNOWN = (
    "Groups unknown: images were treated as independent; if they are not, accuracy and p-value "
    "are optimistic."
)


class Banners(NamedTuple):
    """Lines that a figure of results must show; each is empty if it does not apply.

    Attributes
    ----------
    leak : str
        Begins with ``LEAK``: splits share groups or images. Show it in the figure, prominently.
    control : str
        Begins with ``CONTROL``: the run of a control. Show it in the figure, prominently.
    groups : str
        The images have no known group. Show it in the figure or its caption.
    """

    leak: str
    control: str
    groups: str


def banners(results: Run | Study | Audit) -> Banners:
    """Return the warnings that every figure of a run, study or audit must carry.

    Examples
    --------
    >>> import cellvision as cv
    >>> run = cv.load_run("runs/first")  # doctest: +SKIP
    >>> title = " ".join(line for line in cv.banners(run) if line)  # doctest: +SKIP
    """
    return Banners(_leak(results), _control(results), _groups(results))


def _runs(results: Run | Study | Audit) -> Sequence[Run]:
    runs: Sequence[Run] | None = getattr(results, "runs", None)
    return [results] if runs is None else runs  # type: ignore[list-item]


def _leak(results: Run | Study | Audit) -> str:
    shared: Counter[tuple[str, str]] = Counter()
    for each in _runs(results):  # or the audit
        shared |= Counter(
            (" and ".join(leak.splits), _KINDS.get(leak.kind, leak.kind)) for leak in each.leaks
        )
    if not shared:
        return ""
    parts = [f"{splits} share {kind} ({count})" for (splits, kind), count in shared.items()]
    is_certain = any(kind != _KINDS["near_duplicate"] for _, kind in shared)
    consequence = "The" if is_certain else "If they are copies, the"
    return f"LEAK: {'; '.join(parts)}. {consequence} scores are too optimistic."


def _control(results: Run | Study | Audit) -> str:
    control = getattr(results, "control", None)
    return f"CONTROL ({control}): not a result of the experiment." if control else ""


def _groups(results: Run | Study | Audit) -> str:
    if not any(hasattr(each, "scores") for each in _runs(results)):  # an audit
        return ""
    return _GROUPS_UNKNOWN if any(run.unit_column is None for run in _runs(results)) else ""
