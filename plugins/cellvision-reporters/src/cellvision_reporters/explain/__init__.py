"""Reporter ``attention``: attribution maps, their sanity check, and feature embeddings."""

from __future__ import annotations

from cellvision_reporters.explain.attention import Attention

__all__ = ["Attention"]
