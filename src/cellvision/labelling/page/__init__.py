"""Files of the page, for the server and for a single HTML file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "served.js": "text/javascript",
    "view.js": "text/javascript",
}
"""Files that the server offers beside the HTML, with their media types."""


@cache
def read(name: str) -> str:
    """Read one of the page's files."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def render(**values: Any) -> str:
    """Render the HTML; the template lists the values."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(read("page.html.j2")).render(**values)
