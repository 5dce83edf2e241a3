"""Targets of the ratios, by kind of processor."""

from __future__ import annotations

GOALS = {
    "AVX512 and bfloat16": {
        "deep : script": "≥ 2.0",
        "deep : PyTorch": "≥ 2.5",
        "resnet : Keras": "≥ 1.8",
        "folder to model": "≥ 2.2",
        "12 runs": "≥ 3.5",
        "demo": "≤ 50",
    },
    "AVX2 only": {
        "deep : script": "≥ 3.0",
        "deep : PyTorch": "≥ 1.2",
        "resnet : Keras": "≥ 3.0",
        "folder to model": "≥ 3.0",
        "12 runs": "≥ 5.0",
        "demo": "≤ 90",
    },
}
"""Targets that depend on the kind of processor."""


def processor_kind() -> str:
    """Name the kind of this processor: a key of `GOALS`, or "other"."""
    from cellvision.backends import processor

    if processor.has_bfloat16():
        return "AVX512 and bfloat16"
    return "AVX2 only" if processor.needs_onednn() else "other"


def goal(name: str) -> str:
    """Return the target of a ratio on this processor; empty if there is none."""
    return GOALS.get(processor_kind(), {}).get(name, "")
