"""Reporter ``standards``: DOME, REFORMS, CLAIM, a model card and a methods paragraph."""

from __future__ import annotations

from cellvision_reporters.standards.reporter import Standards

__all__ = ["Standards"]
