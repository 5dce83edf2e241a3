"""Every augmenter passes the conformance kit."""

from __future__ import annotations

import pytest

import cellvision as cv
from cellvision.testing import AugmenterChecks

pytestmark = pytest.mark.exhaustive


class TestRotation(AugmenterChecks):
    name = "rotation"
    example = {"degrees": 30}
    invalid_settings = {"degrees": 181, "fill_mode": "wrap"}


class TestTranslation(AugmenterChecks):
    name = "translation"
    invalid_settings = {"height": 2}


class TestFlip(AugmenterChecks):
    name = "flip"


class TestDihedral(AugmenterChecks):
    name = "dihedral"


class TestShift(AugmenterChecks):
    name = "shift"
    invalid_settings = {"pixels": -1}


class TestBrightness(AugmenterChecks):
    name = "brightness"
    invalid_settings = {"factor": -1}


class TestElastic(AugmenterChecks):
    name = "elastic"
    invalid_settings = {"distance": -1}


class TestZoom(AugmenterChecks):
    name = "zoom"
    invalid_settings = {"least": 0}


class TestErase(AugmenterChecks):
    name = "erase"


class TestMixup(AugmenterChecks):
    name = "mixup"
    invalid_settings = {"alpha": 0}


class TestCutmix(AugmenterChecks):
    name = "cutmix"


def test_every_augmenter_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, AugmenterChecks)
    }
    installed = {
        info.name
        for info in cv.augmenters.plugins()
        if info.distribution == "cellvision-augmenters"
    }
    assert installed
    assert installed <= checked
