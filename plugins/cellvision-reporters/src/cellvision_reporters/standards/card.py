"""The model card: what a network is for, how it was made, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping

from cellvision import About
from cellvision.io import escape_markdown

_SECTIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Model details", ("model", "parameters", "output", "environment"), ("contact",)),
    ("Intended use", (), ("intended_use",)),
    ("Out of scope", (), ("out_of_scope",)),
    ("Training data", ("dataset", "counts", "classes", "batches"), ("data_source", "acquisition")),
    ("Training", ("preprocessing", "augmentation", "training", "runs"), ()),
    ("Evaluation", ("evaluation", "splits", "redundancy"), ()),
    ("Results", ("performance", "verdict", "uncertainty", "failures"), ("external_validation",)),
    ("Simpler explanations", ("baselines",), ()),
    ("Limitations", ("warnings",), ("limitations", "representativeness")),
    ("Ethics", (), ("ethics",)),
    ("Availability", (), ("model_availability", "code_availability", "data_availability")),
)


def model_card(facts: Mapping[str, str], about: About, name: str) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    facts
        What the run or study knows.
    about
        What a person has written.
    name
        Title of the card if `about` has none.

    Notes
    -----
    M. Mitchell et al. (2019), Model Cards for Model Reporting, FAT* '19, 220-229.
    """
    lines = [f"# Model card: {escape_markdown(about.title or name)}", ""]
    if about.authors:
        lines += [escape_markdown(", ".join(about.authors)), ""]
    for title, keys, fields in _SECTIONS:
        lines += [f"## {title}", ""]
        lines += [line for key in keys if facts[key] for line in (escape_markdown(facts[key]), "")]
        for field in fields:
            text = getattr(about, field)
            lines += [escape_markdown(text) if text else f"**To answer: about.{field}**", ""]
    return "\n".join(lines)
