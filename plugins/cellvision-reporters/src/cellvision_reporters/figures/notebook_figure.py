"""A Matplotlib figure that a notebook shows by itself, with and without pyplot."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that a notebook shows as PNG where it is the value of a cell.

    IPython knows how to show figures only after pyplot was imported; without it, a notebook calls
    this method.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100, facecolor="white")
        return buffer.getvalue()
