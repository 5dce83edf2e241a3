"""Reporter ``tensorboard``: epochs as they end, then scores, settings and figures."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from cellvision import Artifact, Reporter, io
from cellvision_tracking.values import (
    epochs,
    final_scores,
    flat_settings,
    plain_names,
    png_figures,
    run_name,
)

if TYPE_CHECKING:
    from cellvision import Experiment, Run, Study

_FOLDER = "tensorboard"

# TensorBoard reads every file with "tfevents" in its name, in the order of the names.
_EPOCHS = "events.out.tfevents.0.epochs"
_RESULTS = "events.out.tfevents.1.results"


class TensorBoard(Reporter):
    """Curves in TensorBoard during training; then scores, settings and figures.

    Everything is in the folder of the run or study: ``tensorboard --logdir runs`` shows all
    runs below ``runs``. The figures are the PNG files of the other reporters.

    Examples
    --------
    >>> import cellvision as cv
    >>> experiment = cv.Experiment(
    ...     dataset=cv.datasets.create("folder", path="images"),
    ...     reporters=["curves", "tensorboard"],
    ... )
    """

    enabled_by_default: ClassVar[bool] = False
    runs_last: ClassVar[bool] = True

    _folder: Path | None = PrivateAttr(default=None)

    def on_run_begin(self, folder: Path, experiment: Experiment) -> Reporter:
        """Return a copy that writes the epochs of this run."""
        del experiment  # its settings are written with the results
        follower = self.model_copy()
        follower._folder = folder / _FOLDER
        return follower

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Append the metrics of an epoch to the event file."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / _EPOCHS
        events = [] if epoch > 1 else [_version_event()]
        events.append(_scalar_event(logs, epoch, time.time()))
        # Closed after each epoch: a killed run leaves whole records only.
        with file.open("ab" if epoch > 1 else "wb") as stream:
            stream.write(b"".join(map(_frame, events)))

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Write all epochs again, and the results beside them."""
        return _report(run, folder / _FOLDER, png_figures(run))

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Write the epochs and results of every run, and the figures of the study."""
        artifacts: list[Artifact] = []
        for run in study.runs:
            artifacts += _report(run, folder / _FOLDER / run.folder.name, [])
        figures = png_figures(study)
        if figures:
            events = [_figure_event(file, 0) for file in figures]
            path = _write(folder / _FOLDER / _RESULTS, events)
            artifacts.append(Artifact(path, "Figures for TensorBoard", "data", order=950))
        return artifacts


def _report(run: Run, folder: Path, figures: Sequence[Path]) -> list[Artifact]:
    from tensorboardX import summary

    history = epochs(run)
    last = history[-1].number if history else 0
    scores = final_scores(run)
    settings = flat_settings(run.metadata.experiment)
    results = [_scalar_event(scores, last, time.time())]
    results += [_event(part, 0) for part in summary.hparams(settings, scores)]
    results.append(_event(summary.text("run", _description(run)), 0))
    results += [_figure_event(file, last) for file in figures]
    curves = [_scalar_event(epoch.metrics, epoch.number, epoch.time) for epoch in history]
    name = run_name(run.folder)
    return [
        Artifact(
            _write(folder / _EPOCHS, curves), f"Epochs for TensorBoard: {name}", "data", order=950
        ),
        Artifact(
            _write(folder / _RESULTS, results),
            f"Results for TensorBoard: {name}",
            "data",
            order=950,
        ),
    ]


def _description(run: Run) -> str:
    """Describe the run in Markdown: its name, and where its model is."""
    lines = [
        f"Run: {run_name(run.folder)}",
        f"Model: {(run.folder / 'model.keras').absolute()}",
        f"Seed: {run.seed}",
        *(f"Plugin: {name} {version}" for name, version in run.metadata.plugins.items()),
        *(f"Warning: {warning}" for warning in run.warnings),
    ]
    return "\n".join(f"- {io.escape_markdown(line)}" for line in lines)


def _write(file: Path, events: Sequence[Any]) -> Path:
    with io.atomic_path(file) as temporary:
        temporary.write_bytes(b"".join(map(_frame, [_version_event(), *events])))
    return file


def _version_event() -> Any:
    """Return the event that begins an event file."""
    from tensorboardX.proto.event_pb2 import Event

    return Event(wall_time=time.time(), file_version="brain.Event:2")


def _scalar_event(values: Mapping[str, float], step: int, seconds: float) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    return _event(Summary(value=scalars), step, seconds)


def _figure_event(file: Path, step: int) -> Any:
    """Return an event with a PNG file as it is."""
    from PIL import Image
    from tensorboardX.proto.summary_pb2 import Summary

    with Image.open(file) as image:
        width, height = image.size
    picture = Summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=file.read_bytes()
    )
    tag = plain_names([file.stem])[file.stem]
    return _event(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)


def _event(summary: Any, step: int, seconds: float | None = None) -> Any:
    from tensorboardX.proto.event_pb2 import Event

    wall_time = time.time() if seconds is None else seconds
    return Event(wall_time=wall_time, step=step, summary=summary)


def _frame(event: Any) -> bytes:
    """Frame an event as a TFRecord: length, its checksum, the data, its checksum.

    The writers of libraries keep a thread and an open file for each run, so this is done here.
    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    from tensorboardX.record_writer import masked_crc32c

    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            data,
            struct.pack("<I", masked_crc32c(data)),
        )
    )
