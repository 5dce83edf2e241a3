"""Every splitter passes the conformance kit."""

from __future__ import annotations

import cellvision as cv
from cellvision.testing import SplitterChecks


class TestGroupKFold(SplitterChecks):
    name = "group_k_fold"


class TestLeaveOneOut(SplitterChecks):
    name = "leave_one_out"
    example = {"column": "plate"}


class TestTemporal(SplitterChecks):
    name = "temporal"
    example = {"column": "date"}


def test_every_splitter_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, SplitterChecks)
    }
    installed = {
        info.name for info in cv.splitters.plugins() if info.distribution == "cellvision-splitters"
    }
    assert installed
    assert installed <= checked
