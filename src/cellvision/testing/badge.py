"""A badge for a README: the plugin passes the checks of this cellvision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from cellvision import atomic_io, errors
from cellvision.testing.result import NOT_INSTALLED, CheckResult

_LEFT = "cellvision"
_PER_CHARACTER = 6.5
"""Width of a character in pixels, at 11 px."""

_COLOUR = "#3a7d44"


def write_badge(path: Path, results: Sequence[CheckResult], version: str) -> Path:
    """Write a badge, unless a check failed.

    Parameters
    ----------
    path
        An ``.svg`` image, or a ``.json`` file as shields.io reads it from an address.
    results
        Results of all checks.
    version
        Version of cellvision.

    Raises
    ------
    errors.ExperimentError
        The suffix is neither.
    errors.CellvisionError
        A check failed, none passed, or some need a package that is not installed.
    """
    failed = [result.check for result in results if result.outcome == "failed"]
    if failed or not any(result.outcome == "passed" for result in results):
        raise errors.CellvisionError(
            f"{path}: no badge is written, because {failed[0] if failed else 'no check'} "
            f"{'failed' if failed else 'passed'}",
            "Fix what the checks report, and run the command again.",
        )
    omitted = [result for result in results if result.reason.startswith(NOT_INSTALLED)]
    if omitted:
        raise errors.CellvisionError(
            f"{path}: no badge is written, because {omitted[0].check} did not run: "
            f"{omitted[0].reason}",
            "Install what is missing, and run the command again.",
        )
    text = f"passes the checks of {'.'.join(version.split('.')[:2])}"
    if path.suffix == ".svg":
        return atomic_io.text(path, _svg(text))
    if path.suffix == ".json":
        badge = {"schemaVersion": 1, "label": _LEFT, "message": text, "color": _COLOUR}
        return atomic_io.text(path, json.dumps(badge, indent=2) + "\n")
    raise errors.ExperimentError(
        f"{path}: a badge is an .svg or a .json file", "Name one, such as --badge checks.svg"
    )


def _svg(text: str) -> str:
    left, right = (round(_PER_CHARACTER * len(part)) + 12 for part in (_LEFT, text))
    title = escape(f"{_LEFT}: {text}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOUR}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,sans-serif" font-size="11">'
        f'<text x="{left / 2}" y="14">{_LEFT}</text>'
        f'<text x="{left + right / 2}" y="14">{escape(text)}</text></g></svg>\n'
    )
