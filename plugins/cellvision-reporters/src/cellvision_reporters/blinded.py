"""What blinded experts did, for figures, tables and pages that show it beside their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision_reporters.arms import arms_of
from cellvision_reporters.expert import Expert, compared, raters_of

if TYPE_CHECKING:
    from cellvision import Run, Study


def comparisons(about: Run | Study) -> list[Mapping[str, Any]]:
    """Every comparison of a network with an expert, as ``expert.json`` holds them.

    From the answers where the experiment declares the reporter `expert`, else from what that
    reporter has found last. ``told`` is its sentence, with a note where it was not declared.
    """
    found = _declared(about)
    return _reported(about) if found is None else found


def expert_lines(study: Study) -> dict[str, tuple[float, ...]]:
    """The accuracy of each expert, by test set.

    For test sets that no comparison tells of, it is the number that the study was given.
    """
    given = {split: (float(value),) for split, value in (study.record.get("expert") or {}).items()}
    first = arms_of(study)[0].name
    lines: dict[str, tuple[float, ...]] = {}
    for each in comparisons(study):
        if each["experiment"] == first:
            split = each["split"]
            lines[split] = (*lines.get(split, ()), each["expert"]["estimate"])
    return given | lines


def _declared(about: Run | Study) -> list[Mapping[str, Any]] | None:
    asked, arms = _asked(about)
    for settings in asked.get("reporters") or ():
        if str(settings.get("type", "")).rpartition(":")[2] != "expert":
            continue
        reporter = Expert(**{key: value for key, value in settings.items() if key != "type"})
        try:
            found = compared(reporter, arms, raters_of(reporter))
        except errors.InvalidInput:
            return []  # the reporter itself says what is wrong with the answers
        return [_told(each.to_json(), beforehand=True) for each in found]
    return None


def _asked(about: Run | Study) -> tuple[Mapping[str, Any], Mapping[str, Sequence[Run]]]:
    """The experiment that was asked for, and its runs by the name of their arm."""
    if getattr(about, "runs", None) is None:
        return about.record.get("experiment", {}), {"": (about,)}
    first = about.record["experiments"][0]["experiment"]
    return first, {arm.name: arm.runs for arm in arms_of(about)}


def _reported(about: Run | Study) -> list[Mapping[str, Any]]:
    path = about.folder / "reports" / "expert.json"
    if not path.is_file():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    return [
        _told(each, beforehand=report["declared_beforehand"]) for each in report["comparisons"]
    ]


def _told(comparison: Mapping[str, Any], *, beforehand: bool) -> Mapping[str, Any]:
    sentence = f"{comparison['sentence'][0].upper()}{comparison['sentence'][1:]}"
    note = "" if beforehand else " NOT declared in the experiment: chosen afterwards."
    return {**comparison, "told": f"{sentence}{note}"}
