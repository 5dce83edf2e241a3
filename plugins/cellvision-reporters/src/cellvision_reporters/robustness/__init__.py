"""Reporter ``robustness``: accuracy on perturbed images and under gradient attacks."""

from __future__ import annotations

from cellvision_reporters.robustness.reporter import Robustness

__all__ = ["Robustness"]
