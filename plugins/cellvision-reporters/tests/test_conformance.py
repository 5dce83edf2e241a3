"""The conformance checks of every reporter of this distribution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision.testing import ReporterChecks, example_plugins, example_run

pytestmark = pytest.mark.slow


class TestExpert(ReporterChecks):
    name = "expert"
    expected_failures = dict.fromkeys(
        ("test_survives_odd_names", "test_survives_forty_classes"),
        "the answers belong to the ordinary run",
    )

    def settings(self, folder: Path) -> dict[str, Any]:
        with example_plugins():
            run = example_run(folder / "answered")
        rows = run.predictions[["image", "split", "group", "label"]]
        table = rows[rows["split"].isin(run.test_splits)].assign(
            rater="Ana", answer=rows["label"], seconds=1.0, repeat=1, time="2026-01-01T00:00:00Z"
        )
        table.to_csv(folder / "answers.csv", index=False)
        return {"answers": str(folder / "answers.csv")}


class TestControls(ReporterChecks):
    name = "controls"
    expected_failures = {"test_reports_something": "the example study has no controls"}


_QUICK: dict[str, Mapping[str, Any]] = {
    "attention": {"images": 2, "steps": 2, "patch": 0.4},
    "robustness": {"images": 6, "rotation": [9], "blur": [], "shift": [], "attack_steps": 2},
}

for _name in cv.reporters.names():
    if cv.reporters.info(_name).distribution == "cellvision-reporters":
        _class = f"Test{_name.title()}"
        if _class not in globals():
            _members = {"name": _name, "example": _QUICK.get(_name, {}), "__module__": __name__}
            globals()[_class] = type(_class, (ReporterChecks,), _members)


def test_every_reporter_is_checked() -> None:
    classes = [value for value in globals().values() if isinstance(value, type)]
    checked = {cls.name for cls in classes if issubclass(cls, ReporterChecks) and cls.name}
    assert {info.name for info in cv.reporters.plugins() if "reporters" in info.distribution} <= (
        checked
    )
