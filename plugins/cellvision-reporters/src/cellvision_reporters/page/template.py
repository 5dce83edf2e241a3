"""Renders a page: one self-contained HTML file with the style that all pages share."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from cellvision import Artifact, io
from cellvision_reporters.figures.phrasing import keep_together

FILE_NAME = "report.html"
"""Name of the page."""


def render(template: str, **content: Any) -> str:
    """Render a template of the folder ``templates``; every text is escaped.

    Parameters
    ----------
    template
        Its file name.
    content
        Its variables. Date and version are added.
    """
    import importlib_metadata
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cellvision_reporters", "page/templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["units"] = keep_together
    return environment.get_template(template).render(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        version=importlib_metadata.version("cellvision"),
        **content,
    )


def write_page(folder: Path, page: str, title: str) -> Artifact:
    """Write a page to the folder of its reporter."""
    return Artifact(io.write_text(folder / FILE_NAME, page), title, "page", order=0)
