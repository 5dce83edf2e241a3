"""ONNX, for ONNX Runtime and most other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cellvision as cv
from cellvision import inference
from cellvision_exporters.engines.onnxruntime_engine import OnnxRuntimeEngine

if TYPE_CHECKING:
    from pydantic import JsonValue


class Onnx(cv.Exporter):
    """ONNX: one file, for ONNX Runtime and most other programs."""

    suffix: ClassVar[str] = ".onnx"
    packages: ClassVar[tuple[str, ...]] = ("tf2onnx", "onnx", "onnxruntime")
    engine: ClassVar[str] = "onnxruntime"
    engine_order: ClassVar[int] = 100

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write ``model.onnx``; see `cellvision.Exporter.export`."""
        path = inference.convert_network(run, "onnx", folder / "model.onnx")
        _name_inputs_and_outputs(path)
        return path

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Compare ONNX Runtime with the record; see `cellvision.Exporter.verify`."""
        engine = self.open_engine(folder / "model.onnx", run)
        return inference.compare_with_record(run, "onnx", engine.predict, engine.at_once)

    def open_engine(self, path: Path, run: cv.Run) -> OnnxRuntimeEngine:
        """Open it with ONNX Runtime; see `cellvision.Exporter.open_engine`."""
        return OnnxRuntimeEngine(path, run.preprocessing.input_shape)

    def embed_description(self, description: Mapping[str, Any], folder: Path) -> None:
        """Store the description as metadata, because the file may be passed on alone."""
        import onnx

        path = folder / "model.onnx"
        model = onnx.load(path)
        properties = {
            "cellvision": json.dumps(description, ensure_ascii=False),
            "class_names": json.dumps(description["class_names"], ensure_ascii=False),
        }
        onnx.helper.set_model_props(model, properties)
        onnx.save(model, path)


def _name_inputs_and_outputs(path: Path) -> None:
    """Name input, output and batch axis: pixels, probabilities, images."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    names = {graph.input[0].name: "pixels", graph.output[0].name: "probabilities"}
    for node in graph.node:
        node.input[:] = [names.get(word, word) for word in node.input]
        node.output[:] = [names.get(word, word) for word in node.output]
    for value in (graph.input[0], graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "images"
    onnx.checker.check_model(model)
    onnx.save(model, path)
