"""Configuration of Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellvision

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# autodoc writes annotations from source code into classes, among them pydantic's BaseModel. Models
# defined after that fail, so import every public name and every plugin first.
for name in cellvision.__all__:
    getattr(cellvision, name)
for registry in (
    cellvision.datasets,
    cellvision.augmenters,
    cellvision.architectures,
    cellvision.recipes,
    cellvision.splitters,
    cellvision.controls,
    cellvision.exporters,
    cellvision.reporters,
):
    for name in registry.names():
        registry.get(name)

project = "cellvision"
author = "The cellvision authors"
copyright = "The cellvision authors"  # noqa: A001 - the name that Sphinx reads
version = release = cellvision.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "generated",
]
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# Notebooks run in an empty folder whenever their page is built, and an error ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
# Leave out what pydantic adds to every component.
autodoc_default_options = {
    "members": True,
    "exclude-members": "model_config, model_fields, model_computed_fields, model_post_init",
}
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_ivar = True
# In NumPy docstrings, single backticks refer to names.
default_role = "code"

html_theme = "furo"
html_title = f"cellvision {release}"
html_show_copyright = False


def _whole_sentence(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Keep napoleon from treating text before a colon in a field's docstring as its type."""
    del app, name, thing, options
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Run before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _whole_sentence, priority=400)
