"""The page, for a server or as one file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "served.js": "text/javascript",
}
"""What the served page consists of beside its HTML, and the media type of each."""


@cache
def read(name: str) -> str:
    """One of the files of the page."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def render(**values: Any) -> str:
    """The HTML; see the template for the values."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(read("page.html.j2")).render(**values)
