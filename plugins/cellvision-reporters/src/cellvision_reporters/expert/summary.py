"""What blinded experts did, for figures, tables and pages that show it beside their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision_reporters.expert.expert import Expert, compared, raters_of
from cellvision_reporters.figures.experiment_runs import arms_of

if TYPE_CHECKING:
    from pathlib import Path

    from cellvision import Run, Study


def of_run(run: Run) -> list[Mapping[str, Any]]:
    """Every comparison of a run with an expert; see `of_study`."""
    return _comparisons(run.metadata.experiment, {"": (run,)}, run.folder)


def of_study(study: Study) -> list[Mapping[str, Any]]:
    """Every comparison of a study with an expert, as ``expert.json`` holds them.

    From the answers where the experiment declares the reporter `expert`, else from what that
    reporter has found last. ``told`` is its sentence, with a note where it was not declared.
    """
    arms = {arm.name: arm.runs for arm in arms_of(study)}
    return _comparisons(study.metadata["experiments"][0]["experiment"], arms, study.folder)


def expert_lines(study: Study) -> dict[str, tuple[float, ...]]:
    """The accuracy of each expert, by test set.

    For test sets that no comparison tells of, it is the number that the study was given.
    """
    given = {
        split: (float(value),) for split, value in (study.metadata.get("expert") or {}).items()
    }
    first = arms_of(study)[0].name
    lines: dict[str, tuple[float, ...]] = {}
    for each in of_study(study):
        if each["experiment"] == first:
            split = each["split"]
            lines[split] = (*lines.get(split, ()), each["expert"]["estimate"])
    return given | lines


def _comparisons(
    asked: Mapping[str, Any], arms: Mapping[str, Sequence[Run]], folder: Path
) -> list[Mapping[str, Any]]:
    for settings in asked.get("reporters") or ():
        if str(settings.get("type", "")).rpartition(":")[2] == "expert":
            reporter = Expert(**{key: value for key, value in settings.items() if key != "type"})
            try:
                found = compared(reporter, arms, raters_of(reporter))
            except errors.InvalidInput:
                break  # the reporter itself says what is wrong with the answers
            return [_told(each.to_json(), beforehand=True) for each in found]
    path = folder / "reports" / "expert.json"
    if not path.is_file():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    return [_told(each, beforehand=report["declared_beforehand"]) for each in report["comparisons"]]


def _told(comparison: Mapping[str, Any], *, beforehand: bool) -> Mapping[str, Any]:
    sentence = f"{comparison['sentence'][0].upper()}{comparison['sentence'][1:]}"
    note = "" if beforehand else " NOT declared in the experiment: chosen afterwards."
    return {**comparison, "told": f"{sentence}{note}"}
