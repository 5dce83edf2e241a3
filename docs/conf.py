"""How Sphinx builds these pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellvision

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cellvision"
author = "The cellvision authors"
copyright = "The cellvision authors"  # noqa: A001 - Sphinx calls it so
version = release = cellvision.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "generated",
]
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
# What pydantic adds to every component is not worth a line under each of them.
autodoc_default_options = {
    "members": True,
    "exclude-members": "model_config, model_fields, model_computed_fields, model_post_init",
}
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_ivar = True
# NumPy docstrings refer to other names in single backticks.
default_role = "code"

html_theme = "furo"
html_title = f"cellvision {release}"
html_show_copyright = False


def _whole_sentence(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Keep napoleon from taking what precedes a colon in a field's docstring for its type."""
    del app, name, thing, options
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Hook in ahead of napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _whole_sentence, priority=400)
