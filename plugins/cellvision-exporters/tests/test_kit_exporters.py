"""Every exporter passes the conformance kit."""

from __future__ import annotations

import cellvision as cv
from cellvision.testing import ExporterChecks


class TestOnnx(ExporterChecks):
    name = "onnx"


class TestOpenVino(ExporterChecks):
    name = "openvino"


class TestLiteRt(ExporterChecks):
    name = "litert"


class TestSavedModel(ExporterChecks):
    name = "saved_model"


def test_every_exporter_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, ExporterChecks)
    }
    installed = {
        info.name for info in cv.exporters.plugins() if info.distribution == "cellvision-exporters"
    }
    assert installed
    assert installed <= checked
