"""Every reporter passes the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision.testing import ReporterChecks
from cellvision.testing.examples import FORTY_CLASSES, ODD_NAMES, SyntheticImages

pytestmark = pytest.mark.slow


class TestExpertReporter(ReporterChecks):
    name = "expert"
    invalid_settings = {"declared": "the best run"}

    def settings(self, folder: Path) -> Mapping[str, Any]:
        """Answers to the images of every example run, each of the same class."""
        lines = ["image,split,label,rater,answer,repeat"]
        every = (
            SyntheticImages(),
            SyntheticImages(names=FORTY_CLASSES),
            SyntheticImages(names=ODD_NAMES, splits={"Tag 2 / größer": 2, "../test": 2}),
        )
        for images in every:
            for row in images.catalog().to_dict("records"):
                names = [row["image"], row["split"], row["label"], "Ana", images.names[0]]
                lines += [",".join(f'"{name}"' for name in names) + ",1"]
        (folder / "answers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {"answers": str(folder / "answers.csv")}


class TestControlsReporter(ReporterChecks):
    name = "controls"
    expected_failures = {
        "test_reports_something": "the kit's studies have no controls; test_controls.py draws some"
    }


_QUICK: dict[str, dict[str, Any]] = {
    "attention": {"images": 2, "steps": 2, "patch": 0.4},
    "robustness": {"images": 6, "rotation": [9], "blur": [], "shift": [], "attack_steps": 2},
}

for _name in cv.reporters.names():
    if cv.reporters.info(_name).distribution == "cellvision-reporters":
        _class = f"Test{_name.title().replace('_', '')}Reporter"
        if _class in globals():
            continue
        _settings = {"name": _name, "example": _QUICK.get(_name, {}), "__module__": __name__}
        globals()[_class] = type(_class, (ReporterChecks,), _settings)


def test_every_reporter_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, ReporterChecks)
    }
    installed = {
        info.name for info in cv.reporters.plugins() if info.distribution == "cellvision-reporters"
    }
    assert installed
    assert installed <= checked
