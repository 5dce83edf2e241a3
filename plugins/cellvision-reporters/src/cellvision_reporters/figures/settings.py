"""What reporters that draw have in common: resolution and file format."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cellvision import Reporter


class Picture(Reporter):
    """A reporter whose files are pictures."""

    dpi: Annotated[int, Field(ge=50, le=1200)] = 150
    """Resolution in pixels an inch."""

    format: Literal["png", "pdf", "svg"] = "png"
    """File format."""

    @property
    def suffix(self) -> str:
        """The file name's ending."""
        return f".{self.format}"
