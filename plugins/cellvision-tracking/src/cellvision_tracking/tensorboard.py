"""Epochs as they end, then scores, settings and figures, for TensorBoard."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from cellvision import Reporter, io

from .measures import epochs_of, figures_in, name_of, plain, scores_of, settings_of

if TYPE_CHECKING:
    from cellvision import Experiment, Run, Study

_FOLDER = "tensorboard"

# TensorBoard takes every file with "tfevents" in its name, in the order of the names.
_EPOCHS = "events.out.tfevents.0.epochs"
_RESULTS = "events.out.tfevents.1.results"


class TensorBoard(Reporter):
    """Curves in TensorBoard while the network trains; then scores, settings and figures.

    Everything is in the folder of the run or study: ``tensorboard --logdir runs`` shows all
    runs below ``runs``. Figures are those (PNG) of the reporters that are named before it.

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
        """Give a copy that knows where this run's epochs go."""
        del experiment  # what was asked is told with the results
        told = self.model_copy()
        told._folder = folder / _FOLDER
        return told

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Append an epoch's numbers to the event file."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / _EPOCHS
        records = [] if epoch > 1 else [_version()]
        records.append(_numbers(logs, epoch, time.time()))
        # Closed after each epoch: a run that is killed leaves whole records only.
        with file.open("ab" if epoch > 1 else "wb") as stream:
            stream.write(b"".join(map(_framed, records)))

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Write the epochs anew, all of them, and the results beside them."""
        return _report(run, folder / _FOLDER, figures_in(folder))

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Write every run's epochs and results, and the study's figures."""
        made: list[Path] = []
        for run in study.runs:
            made += _report(run, folder / _FOLDER / run.folder.name, [])
        figures = figures_in(folder)
        if figures:
            events = [_figure(file, 0) for file in figures]
            made.append(_write(folder / _FOLDER / _RESULTS, events))
        return made


def _report(run: Run, folder: Path, figures: Sequence[Path]) -> list[Path]:
    from tensorboardX import summary

    epochs = epochs_of(run)
    last = epochs[-1][0] if epochs else 0
    scores = scores_of(run)
    results = [_numbers(scores, last, time.time())]
    settings = settings_of(run.metadata.experiment)
    results += [_event(part, 0) for part in summary.hparams(settings, scores)]
    results.append(_event(summary.text("run", _told(run)), 0))
    results += [_figure(file, last) for file in figures]
    return [
        _write(folder / _EPOCHS, [_numbers(logs, epoch, at) for epoch, at, logs in epochs]),
        _write(folder / _RESULTS, results),
    ]


def _told(run: Run) -> str:
    """Tell in Markdown which run it is, and where its model lies."""
    lines = [
        f"Run: {name_of(run.folder)}",
        f"Model: {(run.folder / 'model.keras').absolute()}",
        f"Seed: {run.metadata.seed}",
        *(f"Plugin: {name} {version}" for name, version in run.metadata.plugins.items()),
        *(f"Warning: {warning}" for warning in run.warnings),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _write(file: Path, events: Sequence[Any]) -> Path:
    with io.atomic_path(file) as temporary:
        temporary.write_bytes(b"".join(map(_framed, [_version(), *events])))
    return file


def _version() -> Any:
    """Make the record with which an event file opens."""
    from tensorboardX.proto.event_pb2 import Event

    return Event(wall_time=time.time(), file_version="brain.Event:2")


def _numbers(numbers: Mapping[str, float], step: int, at: float) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
    return _event(Summary(value=values), step, at)


def _figure(file: Path, step: int) -> Any:
    """A picture as it is, in its own PNG."""
    from PIL import Image
    from tensorboardX.proto.summary_pb2 import Summary

    with Image.open(file) as image:
        width, height = image.size
    picture = Summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=file.read_bytes()
    )
    tag = plain([file.stem])[file.stem]
    return _event(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)


def _event(summary: Any, step: int, at: float | None = None) -> Any:
    from tensorboardX.proto.event_pb2 import Event

    return Event(wall_time=time.time() if at is None else at, step=step, summary=summary)


def _framed(event: Any) -> bytes:
    """Frame a record as TFRecord files have it: length, its checksum, the record, its checksum.

    By hand since the writers of libraries keep a thread and an open file for each run.
    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    from tensorboardX.record_writer import masked_crc32c

    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return b"".join(
        (
            *(length, struct.pack("<I", masked_crc32c(length))),
            *(data, struct.pack("<I", masked_crc32c(data))),
        )
    )
