"""Every control passes the conformance kit."""

from __future__ import annotations

import pytest

import cellvision as cv
from cellvision.testing import ControlChecks


@pytest.mark.exhaustive
class TestPermutedGroups(ControlChecks):
    name = "permuted_groups"


@pytest.mark.exhaustive
class TestPermutedImages(ControlChecks):
    name = "permuted_images"


@pytest.mark.exhaustive
class TestBackground(ControlChecks):
    name = "background"


@pytest.mark.exhaustive
class TestBatch(ControlChecks):
    name = "batch"


@pytest.mark.exhaustive
class TestFrozenEncoder(ControlChecks):
    name = "frozen_encoder"
    example = {"architecture": {"type": "scattering", "orientations": 2}}


@pytest.mark.exhaustive
class TestIntensity(ControlChecks):
    name = "intensity"


@pytest.mark.exhaustive
class TestTexture(ControlChecks):
    name = "texture"
    example = {"orientations": 2}
    invalid_settings = {"orientations": 1, "l2": 0}


def test_every_control_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, ControlChecks)
    }
    installed = {
        info.name for info in cv.controls.plugins() if info.distribution == "cellvision-controls"
    }
    assert installed
    assert installed <= checked
