"""An expert's accuracy, for figures of a study to draw as a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision_reporters.arms import arms_of
from cellvision_reporters.expert import Expert, compared, raters_of

if TYPE_CHECKING:
    from cellvision import Study


def expert_lines(study: Study) -> dict[str, tuple[float, ...]]:
    """The accuracy of each expert, by test set.

    From the answers where the experiment declares the reporter `expert`, else from what that
    reporter has found last; for test sets that neither tells of, the number that the study was
    given.
    """
    given = {split: (float(value),) for split, value in (study.record.get("expert") or {}).items()}
    return given | (_declared(study) or _reported(study))


def _declared(study: Study) -> dict[str, tuple[float, ...]]:
    asked = study.record["experiments"][0]["experiment"].get("reporters") or ()
    for settings in asked:
        if str(settings.get("type", "")).rpartition(":")[2] != "expert":
            continue
        reporter = Expert(**{key: value for key, value in settings.items() if key != "type"})
        first = arms_of(study)[0]
        try:
            found = compared(reporter, {first.name: first.runs}, raters_of(reporter))
        except errors.InvalidInput:
            return {}  # the reporter itself says what is wrong with the answers
        return _by_split([(each.split, each.expert.estimate) for each in found])
    return {}


def _reported(study: Study) -> dict[str, tuple[float, ...]]:
    path = study.folder / "reports" / "expert.json"
    if not path.is_file():
        return {}
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    first = told["comparisons"][0]["experiment"]
    return _by_split(
        [
            (each["split"], each["expert"]["estimate"])
            for each in told["comparisons"]
            if each["experiment"] == first
        ]
    )


def _by_split(found: list[tuple[str, float]]) -> dict[str, tuple[float, ...]]:
    lines: dict[str, tuple[float, ...]] = {}
    for split, accuracy in found:
        lines[split] = (*lines.get(split, ()), accuracy)
    return lines
