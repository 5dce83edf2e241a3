"""The DOME annotation of a run or study as JSON, checked against its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from cellvision import About
from cellvision_reporters.standards.checklist import Answer


def dome_schema() -> dict[str, Any]:
    """Return the JSON schema of the annotation."""
    path = files("cellvision_reporters.standards") / "data" / "dome.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def dome_annotation(answered: Sequence[Answer], about: About) -> dict[str, Any]:
    """Return the annotation: for each section its topics, each with its answer.

    Raises
    ------
    jsonschema.ValidationError
        The annotation does not fit the schema, which would be a bug.
    """
    import jsonschema  # type: ignore[import-untyped]

    content: dict[str, Any] = {
        "standard": "DOME",
        "version": "1.0",
        "publication": {
            "title": about.title,
            "authors": list(about.authors),
            "contact": about.contact,
        },
    }
    for answer in answered:
        section = content.setdefault(answer.item.section, {})
        section[answer.item.text] = {
            "answer": answer.text,
            "open": answer.is_open,
            "ask": list(answer.ask),
        }
    jsonschema.validate(content, dome_schema())
    return content
