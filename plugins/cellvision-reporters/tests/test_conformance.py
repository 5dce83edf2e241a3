"""The conformance checks of every reporter of this distribution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import cellvision as cv
from cellvision.testing import ReporterChecks, SyntheticImages
from cellvision.testing.examples import FORTY_CLASSES, ODD_NAMES

pytestmark = pytest.mark.exhaustive


class TestExpert(ReporterChecks):
    name = "expert"
    invalid_settings: ClassVar[Mapping[str, Any]] = {"declared": "the best run"}

    def settings(self, folder: Path) -> Mapping[str, Any]:
        """Answers to the images of every example run, all of the same class."""
        lines = ["image,split,label,rater,answer,repeat"]
        odd_splits = {"Tag 2 / größer": 2, "../test": 2}
        for images in (
            SyntheticImages(),
            SyntheticImages(names=FORTY_CLASSES),
            SyntheticImages(names=ODD_NAMES, splits=odd_splits),
        ):
            for row in images.catalog().to_dict("records"):
                cells = [row["image"], row["split"], row["label"], "Ana", images.names[0]]
                lines.append(",".join(f'"{cell}"' for cell in cells) + ",1")
        (folder / "answers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {"answers": str(folder / "answers.csv")}


class TestControls(ReporterChecks):
    name = "controls"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "test_reports_something": "the example study has no controls"
    }


_QUICK: dict[str, Mapping[str, Any]] = {
    "attention": {"images": 2, "steps": 2, "patch": 0.4},
    "robustness": {"images": 6, "rotation": [9], "blur": [], "shift": [], "attack_steps": 2},
}

_SILENT = {
    "training_size": "the example study has one number of training groups",
}

for _name in cv.reporters.names():
    if cv.reporters.info(_name).distribution == "cellvision-reporters":
        _class = f"Test{_name.title()}"
        if _class not in globals():
            _members: dict[str, Any] = {
                "name": _name,
                "example": _QUICK.get(_name, {}),
                "__module__": __name__,
            }
            if _name in _SILENT:
                _members["expected_failures"] = {"test_reports_something": _SILENT[_name]}
            globals()[_class] = type(_class, (ReporterChecks,), _members)


def test_every_reporter_is_checked() -> None:
    classes = [value for value in globals().values() if isinstance(value, type)]
    checked = {cls.name for cls in classes if issubclass(cls, ReporterChecks) and cls.name}
    assert {info.name for info in cv.reporters.plugins() if "reporters" in info.distribution} <= (
        checked
    )
