"""Reporter ``html``: one page about a run or a study."""

from __future__ import annotations

from cellvision_reporters.page.html import Html

__all__ = ["Html"]
