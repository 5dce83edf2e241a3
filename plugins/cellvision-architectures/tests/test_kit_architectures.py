"""Every architecture passes the conformance kit."""

from __future__ import annotations

import pytest

import cellvision as cv
from cellvision.testing import ArchitectureChecks


@pytest.mark.exhaustive
class TestDeep(ArchitectureChecks):
    name = "deep"
    example = {"dense": 50}
    invalid_settings = {"dense": 0}


@pytest.mark.exhaustive
class TestDeepFunctional(ArchitectureChecks):
    name = "deep_functional"


@pytest.mark.exhaustive
class TestFmnistDeep(ArchitectureChecks):
    name = "fmnist_deep"


@pytest.mark.exhaustive
class TestAlexNet(ArchitectureChecks):
    name = "alexnet"
    input_shape = (67, 67, 3)


@pytest.mark.exhaustive
class TestFmnistAlexNet(ArchitectureChecks):
    name = "fmnist_alexnet"
    input_shape = (28, 28, 1)


@pytest.mark.exhaustive
class TestResNet(ArchitectureChecks):
    name = "resnet"
    example = {"depth": 1, "width": 8}
    invalid_settings = {"depth": 0}


@pytest.mark.exhaustive
class TestPerceptron(ArchitectureChecks):
    name = "perceptron"
    invalid_settings = {"widths": [0], "rate": 0}


@pytest.mark.exhaustive
class TestPretrained(ArchitectureChecks):
    name = "pretrained"
    example = {"backbone": "MobileNet", "random": True}


def test_every_architecture_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, ArchitectureChecks)
    }
    installed = {
        info.name
        for info in cv.architectures.plugins()
        if info.distribution == "cellvision-architectures"
    }
    # `encoder` and `scattering` have separate test files.
    assert installed == (checked - {""}) | {"encoder", "scattering"}
