"""A model package for the BioImage Model Zoo and the programs that open its packages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import cellvision as cv
from cellvision import errors, inference
from cellvision_exporters.engines.onnxruntime_engine import OnnxRuntimeEngine
from cellvision_exporters.model_card import card

if TYPE_CHECKING:
    from pydantic import JsonValue

_TOLERANCE = 1e-3
"""Largest difference of a probability between the program that reads the package and the run."""


class BioImageIo(cv.Exporter):
    """BioImage.IO: a package for the BioImage Model Zoo, with the network as ONNX and a card."""

    suffix: ClassVar[str] = ".zip"
    packages: ClassVar[tuple[str, ...]] = ("bioimageio.spec", "tf2onnx", "onnx", "onnxruntime")

    authors: tuple[str, ...] = ("unknown",)
    """Names of the people who trained the network."""

    license: str = "CC-BY-4.0"
    """Licence of the package, as its SPDX identifier."""

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write ``model.zip``; see `cellvision.Exporter.export`."""
        from bioimageio.spec import save_bioimageio_package

        source = folder / "model files"
        source.mkdir()
        path = folder / "model.zip"
        try:
            save_bioimageio_package(self._package(run, source), output_path=path)
        finally:
            for file in source.iterdir():
                file.unlink()
            source.rmdir()
        return path

    def _package(self, run: cv.Run, folder: Path) -> Any:
        """Write the files of the package, and return its description."""
        import onnx
        from bioimageio.spec.model import v0_5 as spec

        weights = inference.convert_network(run, "onnx", folder / "weights.onnx")
        opset = onnx.load(weights).opset_import[0].version
        table = run.predictions
        image = str(table["image"].iloc[0])
        pixels = run.model_input([image]).astype(np.float32)
        engine = OnnxRuntimeEngine(weights, run.preprocessing.input_shape)
        np.save(folder / "input.npy", pixels)
        np.save(folder / "output.npy", np.asarray(engine.predict(pixels), np.float32))
        (folder / "README.md").write_text(card(run), encoding="utf-8")
        return spec.ModelDescr(
            name=f"cellvision {' or '.join(_ids(run))}"[:128],
            description="Classifies microscopy images; the classes are the channels of its output.",
            authors=[spec.Author(name=author) for author in self.authors],
            license=self.license,
            documentation=spec.FileDescr(source=folder / "README.md"),
            cite=[],
            tags=["classification", "microscopy", "cellvision"],
            inputs=[_input(run, folder / "input.npy")],
            outputs=[_output(run, folder / "output.npy")],
            weights=spec.WeightsDescr(
                onnx=spec.OnnxWeightsDescr(source=weights, opset_version=opset)
            ),
            config={"cellvision": {"class_names": list(run.class_names), "classes": _ids(run)}},
        )

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Open the package as other programs do; see `cellvision.Exporter.verify`.

        ``bioimageio.core`` runs the test of the package, if it is installed; ONNX Runtime
        predicts images of the run with the packaged weights.
        """
        import zipfile

        from bioimageio.spec import InvalidDescr, load_description

        path = folder / "model.zip"
        described = load_description(path, perform_io_checks=True)
        if isinstance(described, InvalidDescr):
            raise errors.ConversionError(
                f"the package is not valid: {described.validation_summary.status}",
                "Report it to the plugin's author.",
            )
        weights = folder / "model weights.onnx"
        with zipfile.ZipFile(path) as archive:
            weights.write_bytes(archive.read("weights.onnx"))
        try:
            engine = OnnxRuntimeEngine(weights, run.preprocessing.input_shape)
            result = inference.compare_with_record(
                run, "bioimageio", engine.predict, engine.at_once
            )
        finally:
            weights.unlink()
        result["bioimageio.core"] = _run_its_test(path)
        return result


def _ids(run: cv.Run) -> list[str]:
    """Return one identifier for each class: the format allows no other names of channels."""
    names = [re.sub(r"\W", "_", name.lower()) for name in run.class_names]
    valid = [
        name if name.isidentifier() and name.isascii() and name.strip("_") else "" for name in names
    ]
    return [
        name if name and valid.count(name) == 1 else f"class_{number}"
        for number, name in enumerate(valid)
    ]


def _input(run: cv.Run, test: Path) -> Any:
    from bioimageio.spec.model import v0_5 as spec

    height, width, channels = run.preprocessing.input_shape
    zero, one = run.intensity_range
    return spec.InputTensorDescr(
        id="pixels",
        description=(
            "Pixels with the intensities of the file, not scaled: the network maps "
            f"{zero:g} to 0 and {one:g} to 1 itself."
        ),
        axes=[
            spec.BatchAxis(),
            spec.SpaceInputAxis(id="y", size=height),
            spec.SpaceInputAxis(id="x", size=width),
            spec.ChannelAxis(channel_names=_channels(channels)),
        ],
        test_tensor=spec.FileDescr(source=test),
        data=spec.IntervalOrRatioDataDescr(type="float32"),
    )


def _channels(count: int) -> list[str]:
    return [f"channel_{number}" for number in range(count)]


def _output(run: cv.Run, test: Path) -> Any:
    from bioimageio.spec.model import v0_5 as spec

    return spec.OutputTensorDescr(
        id="probabilities",
        description=f"Probabilities of {', '.join(run.class_names)}, in this order."[:128],
        axes=[spec.BatchAxis(), spec.ChannelAxis(channel_names=_ids(run))],
        test_tensor=spec.FileDescr(source=test),
        data=spec.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )


def _run_its_test(path: Path) -> str:
    """Let the reference program of the format predict the package's test image."""
    try:
        from bioimageio.core import test_model
    except ImportError:
        return "not installed"
    summary = test_model(path, weight_format="onnx", absolute_tolerance=_TOLERANCE)
    if summary.status != "passed":
        faults = [error.msg for detail in summary.details for error in detail.errors]
        raise errors.ConversionError(
            f"bioimageio.core does not reproduce the package's test: {'; '.join(faults)[:300]}",
            "Report it to the plugin's author.",
        )
    return "passed"
