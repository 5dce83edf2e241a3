"""Reporter ``diagram``: the layers of the trained network."""

from __future__ import annotations

from cellvision_reporters.network.diagram import Diagram

__all__ = ["Diagram"]
