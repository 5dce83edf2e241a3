"""Every control passes the conformance kit."""

from __future__ import annotations

import pytest

import cellvision as cv
from cellvision.testing import ControlChecks


@pytest.mark.slow
class TestPermutedGroups(ControlChecks):
    name = "permuted_groups"


@pytest.mark.slow
class TestPermutedImages(ControlChecks):
    name = "permuted_images"


@pytest.mark.slow
class TestBackground(ControlChecks):
    name = "background"


@pytest.mark.slow
class TestBatch(ControlChecks):
    name = "batch"


@pytest.mark.slow
class TestFrozenEncoder(ControlChecks):
    name = "frozen_encoder"
    example = {"architecture": {"type": "scattering", "orientations": 2}}


@pytest.mark.slow
class TestIntensity(ControlChecks):
    name = "intensity"


@pytest.mark.slow
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
