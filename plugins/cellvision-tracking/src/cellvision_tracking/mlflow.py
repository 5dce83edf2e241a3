"""Epochs as they end, then scores, settings and figures, for MLflow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from cellvision import Reporter, errors, io

from .measures import epochs_of, figures_in, name_of, scores_of, settings_of

if TYPE_CHECKING:
    from cellvision import Experiment, Run, Study

_RECORD = "mlflow.json"

_MOST_PARAMETERS = 100
"""MLflow takes no more at once."""


class Mlflow(Reporter):
    """Curves in MLflow while the network trains; then scores, settings and figures.

    Each run of cellvision is one run of MLflow; the model stays where it is, and its path is
    a tag. Figures are those (PNG) of the reporters that are named before it. ``mlflow.json``
    in the folder of reports tells the ids.

    Examples
    --------
    >>> import cellvision as cv
    >>> reporter = cv.reporters.create("mlflow", uri="sqlite:///mlflow.db")
    """

    enabled_by_default: ClassVar[bool] = False
    runs_last: ClassVar[bool] = True

    uri: str | None = None
    """Where MLflow keeps its records: ``sqlite:///mlflow.db`` or ``http://...``. None takes
    it from the environment variable ``MLFLOW_TRACKING_URI``. It is written into ``run.json``,
    so name a server that needs a password by the variable."""

    experiment: str = "cellvision"
    """The experiment of MLflow that runs are put in; made where it is missing."""

    _folder: Path | None = PrivateAttr(default=None)
    _settings: dict[str, Any] = PrivateAttr(default_factory=dict)
    _live: _Tracked | None = PrivateAttr(default=None)

    def on_run_begin(self, folder: Path, experiment: Experiment) -> Reporter:
        """Give a copy that knows which run's epochs it is told of."""
        told = self.model_copy()
        told._folder = folder
        told._settings = settings_of(experiment.model_dump(mode="json"))
        return told

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Send an epoch's numbers; the first one opens the run in MLflow."""
        if self._folder is None:
            return
        if self._live is None:
            self._live = self._open(self._folder.parent)
            _note(self._folder, {"run": self._live.id})
            self._live.configure(self._settings)
        self._live.log(logs, epoch, time.time())

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Send the scores and the figures, and what epochs are missing; close the run."""
        tracked = self._finish(run, _noted(folder).get("run"))
        tracked.attach(figures_in(folder))
        return [_note(folder, {"run": tracked.id})]

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Do the same for every run, and put them below one run that has the figures."""
        before = _noted(folder)
        parent = self._open(study.folder, before.get("study"))
        parent.attach(figures_in(folder))
        ids: dict[str, str] = {}
        for run in study.runs:
            name = run.folder.name
            live = _noted(run.folder / "reports").get("run")
            tracked = self._finish(run, live or before.get("runs", {}).get(name))
            tracked.tag({"mlflow.parentRunId": parent.id})
            ids[name] = tracked.id
        parent.close()
        return [_note(folder, {"study": parent.id, "runs": ids})]

    def _finish(self, run: Run, known: str | None) -> _Tracked:
        tracked = self._open(run.folder, known)
        tracked.configure(settings_of(run.metadata.experiment))
        there = tracked.epochs()
        for epoch, at, logs in epochs_of(run):
            if epoch not in there:
                tracked.log(logs, epoch, at)
        last = int(run.history["epoch"].max()) if len(run.history) else 0
        tracked.log(scores_of(run), last, (run.folder / "run.json").stat().st_mtime)
        tracked.tag(
            {
                "cellvision.model": str((run.folder / "model.keras").absolute()),
                "cellvision.seed": str(run.metadata.seed),
                **{f"cellvision.plugin.{k}": v for k, v in run.metadata.plugins.items()},
            }
        )
        tracked.close()
        return tracked

    def _open(self, folder: Path, known: str | None = None) -> _Tracked:
        """The run of MLflow for a folder: the known one where it is there, else a new one."""
        # MLflow tells its makers how it is used, unless it is told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as fault:
            raise errors.InvalidInput(
                f"mlflow cannot be imported, which cellvision-tracking[mlflow] brings: {fault}",
                'python -m pip install "cellvision-tracking[mlflow]"',
            ) from fault
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            raise errors.ExperimentError(
                "it has no uri, and MLFLOW_TRACKING_URI is not set",
                'Name one: {type = "mlflow", uri = "sqlite:///mlflow.db"}',
            )
        client = MlflowClient(tracking_uri=uri)
        if known is not None:
            try:
                return _Tracked(client, client.get_run(known).info.run_id)
            except MlflowException:
                pass  # deleted, or of another store
        experiment = client.get_experiment_by_name(self.experiment)
        number = (
            experiment.experiment_id if experiment else client.create_experiment(self.experiment)
        )
        tags = {"cellvision.folder": str(folder.absolute())}
        made = client.create_run(number, run_name=name_of(folder), tags=tags)
        return _Tracked(client, made.info.run_id)


class _Tracked:
    """One run of MLflow."""

    def __init__(self, client: Any, number: str) -> None:
        self._client = client
        self.id = number

    def configure(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(name, str(value)) for name, value in settings.items()]
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            some = parameters[first : first + _MOST_PARAMETERS]
            self._client.log_batch(self.id, params=some)

    def log(self, numbers: Mapping[str, float], step: int, at: float) -> None:
        from mlflow.entities import Metric

        when = int(at * 1000)
        metrics = [Metric(name, value, when, step) for name, value in numbers.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def epochs(self) -> set[int]:
        """The epochs that it has been told of."""
        return {metric.step for metric in self._client.get_metric_history(self.id, "loss")}

    def tag(self, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._client.set_tag(self.id, name, value)

    def attach(self, files: Sequence[Path]) -> None:
        for file in files:
            self._client.log_artifact(self.id, str(file), "figures")

    def close(self) -> None:
        self._client.set_terminated(self.id, "FINISHED")


def _note(folder: Path, ids: Mapping[str, Any]) -> Path:
    return io.write_text(folder / _RECORD, json.dumps(ids, indent=2) + "\n")


def _noted(folder: Path) -> dict[str, Any]:
    try:
        noted = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
