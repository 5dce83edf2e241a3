"""Warnings that every figure, table and page must carry, one by one; see `cellvision.banners`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cellvision as cv

if TYPE_CHECKING:
    from cellvision import Audit, Run, Study


def leak_banner(results: Run | Study | Audit) -> str:
    """Return one line that begins with ``LEAK``, or an empty string if splits share nothing."""
    return cv.banners(results).leak


def control_banner(results: Run | Study | Audit) -> str:
    """Return one line that marks the run of a control; empty for all other results."""
    return cv.banners(results).control


def group_note(results: Run | Study | Audit) -> str:
    """Return the note on unknown groups; empty if the groups are known, and for an audit."""
    return cv.banners(results).groups


def banners(results: Run | Study | Audit) -> Sequence[str]:
    """Return all lines that apply to a run or study."""
    return [line for line in cv.banners(results) if line]
