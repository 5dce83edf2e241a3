"""What must be said on every figure and table: leaks, controls, and where images come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellvision import Run, Study

_KINDS = {"shared_group": "units", "identical_pixels": "identical images"}

UNITS_UNKNOWN = "Units unknown: images taken as independent."
"""Stands wherever the provenance of images is not known."""


def records_of(about: Run | Study) -> list[Mapping[str, Any]]:
    """The record of a run, or those of a study's runs."""
    runs = getattr(about, "runs", None)
    return [about.metadata] if runs is None else [run.metadata for run in runs]


def leak_stamp(about: Run | Study) -> str:
    """One line that begins with ``LEAK``; empty where splits share nothing."""
    shared: dict[tuple[str, str], int] = {}
    for record in records_of(about):
        found: dict[tuple[str, str], int] = {}
        for leak in record.get("leaks") or ():
            key = (" and ".join(leak["splits"]), _KINDS.get(leak["kind"], leak["kind"]))
            found[key] = found.get(key, 0) + 1
        for key, count in found.items():
            shared[key] = max(count, shared.get(key, 0))
    if not shared:
        return ""
    told = [f"{splits} share {what} ({count})" for (splits, what), count in shared.items()]
    return f"LEAK: {'; '.join(told)}. The scores flatter."


def control_stamp(about: Run | Study) -> str:
    """Say that a run is one of a control; empty for all others."""
    control = about.metadata.control
    return f"CONTROL ({control}): this is no result of the experiment." if control else ""


def unit_note(about: Run | Study) -> str:
    """Say that units are unknown; empty where they are known."""
    records = records_of(about)
    return UNITS_UNKNOWN if any(record.get("group_column") is None for record in records) else ""


def stamps(about: Run | Study) -> Sequence[str]:
    """All lines, without the empty ones."""
    return [line for line in (leak_stamp(about), control_stamp(about), unit_note(about)) if line]
