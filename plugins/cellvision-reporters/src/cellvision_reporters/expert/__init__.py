"""Reporter ``expert``: the network against a person who labelled the same images blindly."""

from __future__ import annotations

from cellvision_reporters.expert.record import ExpertComparison, ExpertRecord, read_expert_record
from cellvision_reporters.expert.reporter import Expert

__all__ = ["Expert", "ExpertComparison", "ExpertRecord", "read_expert_record"]
