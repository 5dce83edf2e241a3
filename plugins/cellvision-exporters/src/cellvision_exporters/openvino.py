"""OpenVINO, for processors by Intel and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cellvision as cv
from cellvision import inference
from cellvision_exporters.engines.openvino_engine import OpenVinoEngine

if TYPE_CHECKING:
    from pydantic import JsonValue


class OpenVino(cv.Exporter):
    """OpenVINO IR: an ``.xml`` file with the network, and a ``.bin`` file with its weights."""

    suffix: ClassVar[str] = ".xml"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    engine: ClassVar[str] = "openvino"
    # For large networks it is as fast as ONNX Runtime; for small ones that was up to five times as
    # fast, and leaves the threads that decode alone.
    engine_order: ClassVar[int] = 200

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write ``model.xml`` and ``model.bin``; see `cellvision.Exporter.export`."""
        return inference.convert_network(run, "openvino", folder / "model.xml")

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Compare OpenVINO with the record; see `cellvision.Exporter.verify`."""
        engine = self.open_engine(folder / "model.xml", run)
        return inference.compare_with_record(run, "openvino", engine.predict, engine.at_once)

    def open_engine(self, path: Path, run: cv.Run) -> OpenVinoEngine:
        """Open it with OpenVINO; see `cellvision.Exporter.open_engine`."""
        return OpenVinoEngine(path, run.preprocessing.input_shape)
