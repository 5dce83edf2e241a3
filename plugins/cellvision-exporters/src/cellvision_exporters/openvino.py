"""OpenVINO, for processors by Intel and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cellvision as cv
from cellvision import inference

if TYPE_CHECKING:
    from pydantic import JsonValue


class OpenVino(cv.Exporter):
    """OpenVINO IR: an ``.xml`` file with the network, and a ``.bin`` file with its weights."""

    suffix: ClassVar[str] = ".xml"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write ``model.xml`` and ``model.bin``; see `cellvision.Exporter.export`."""
        return inference.convert_network(run, "openvino", folder / "model.xml")

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Compare OpenVINO with the record; see `cellvision.Exporter.verify`."""
        engine = inference.OpenVinoEngine(folder / "model.xml", run.preprocessing.input_shape)
        return inference.compare_with_record(run, "openvino", engine.predict, engine.at_once)
