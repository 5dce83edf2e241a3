"""Reporter ``mlflow``: epochs as they end, then scores, settings and figures, in MLflow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from cellvision import Artifact, Reporter, errors, io
from cellvision_tracking.values import (
    epochs,
    final_scores,
    flat_settings,
    png_figures,
    run_name,
)

if TYPE_CHECKING:
    from cellvision import Experiment, Run, Study

_FILE_NAME = "mlflow.json"

_BATCH = 100
"""Most parameters that MLflow accepts in one call."""


class Mlflow(Reporter):
    """Curves in MLflow during training; then scores, settings and figures.

    Each run of cellvision is one run of MLflow. The model stays in the run's folder, and its path
    is a tag. The figures are the PNG files of the other reporters. ``mlflow.json`` records the
    identifiers.

    Examples
    --------
    >>> import cellvision as cv
    >>> reporter = cv.reporters.create("mlflow", uri="sqlite:///mlflow.db")
    """

    enabled_by_default: ClassVar[bool] = False
    runs_last: ClassVar[bool] = True

    uri: str | None = None
    """Tracking server or database: ``sqlite:///mlflow.db`` or ``http://...``. None takes it from
    the environment variable ``MLFLOW_TRACKING_URI``. The value is written to ``run.json``, so
    use the variable for a server that needs a password."""

    experiment: str = "cellvision"
    """The MLflow experiment for the runs; created if it does not exist."""

    _folder: Path | None = PrivateAttr(default=None)
    _settings: dict[str, Any] = PrivateAttr(default_factory=dict)
    _live: _MlflowRun | None = PrivateAttr(default=None)

    def on_run_begin(self, folder: Path, experiment: Experiment) -> Reporter:
        """Return a copy that follows this run."""
        follower = self.model_copy()
        follower._folder = folder
        follower._settings = flat_settings(experiment.model_dump(mode="json"))
        return follower

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Send the metrics of an epoch; the first epoch creates the run in MLflow.

        A training that resumes also resumes its run.
        """
        if self._folder is None:
            return
        if self._live is None:
            run = self._folder.parent
            known = _read_record(run, self._folder).get("run") if epoch > 1 else None
            self._live = self._open(run, known)
            if self._live.id != known:
                _write_record(self._folder, {"run": self._live.id})
                self._live.log_settings(self._settings)
        self._live.log(logs, epoch, time.time())

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Send scores, figures and missing epochs, and close the run."""
        mlflow_run = self._complete(run, _read_record(run.folder, folder).get("run"))
        mlflow_run.attach(png_figures(run))
        return [_write_record(folder, {"run": mlflow_run.id})]

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Do the same for every run, below a parent run with the figures of the study."""
        record = _read_record(study.folder, folder)
        parent = self._open(study.folder, record.get("study"))
        parent.attach(png_figures(study))
        ids: dict[str, str] = {}
        for run in study.runs:
            name = run.folder.name
            known = _read_record(run.folder, run.folder / "reports").get("run")
            mlflow_run = self._complete(run, known or record.get("runs", {}).get(name))
            mlflow_run.tag({"mlflow.parentRunId": parent.id})
            ids[name] = mlflow_run.id
        parent.close()
        return [_write_record(folder, {"study": parent.id, "runs": ids})]

    def _complete(self, run: Run, known: str | None) -> _MlflowRun:
        """Send everything about a finished run except its figures."""
        mlflow_run = self._open(run.folder, known)
        metadata = run.metadata
        mlflow_run.log_settings(flat_settings(metadata.experiment))
        logged = mlflow_run.epochs()
        for epoch in epochs(run):
            if epoch.number not in logged:
                mlflow_run.log(epoch.metrics, epoch.number, epoch.time)
        last = int(run.history["epoch"].max()) if len(run.history) else 0
        mlflow_run.log(final_scores(run), last, (run.folder / "run.json").stat().st_mtime)
        mlflow_run.tag(
            {
                "cellvision.model": str((run.folder / "model.keras").absolute()),
                "cellvision.seed": str(run.seed),
                **{f"cellvision.plugin.{k}": v for k, v in metadata.plugins.items()},
            }
        )
        mlflow_run.close()
        return mlflow_run

    def _open(self, folder: Path, known: str | None = None) -> _MlflowRun:
        """Open the known MLflow run of a folder if it exists, or create a new one."""
        # MLflow reports its use to its makers unless this is set.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise errors.InvalidInput(
                f"mlflow cannot be imported: {error}",
                'python -m pip install "cellvision-tracking[mlflow]"',
            ) from error
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            raise errors.ExperimentError(
                "the setting uri is missing, and MLFLOW_TRACKING_URI is not set",
                'Set it: {type = "mlflow", uri = "sqlite:///mlflow.db"}',
            )
        client = MlflowClient(tracking_uri=uri)
        if known is not None:
            try:
                return _MlflowRun(client, client.get_run(known).info.run_id)
            except MlflowException:
                pass  # deleted, or of another server
        experiment = client.get_experiment_by_name(self.experiment)
        number = (
            experiment.experiment_id if experiment else client.create_experiment(self.experiment)
        )
        tags = {"cellvision.folder": str(folder.absolute())}
        created = client.create_run(number, run_name=run_name(folder), tags=tags)
        return _MlflowRun(client, created.info.run_id)


class _MlflowRun:
    """One run of MLflow."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.id = run_id

    def log_settings(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(name, str(value)) for name, value in settings.items()]
        for start in range(0, len(parameters), _BATCH):
            self._client.log_batch(self.id, params=parameters[start : start + _BATCH])

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        from mlflow.entities import Metric

        milliseconds = int(seconds * 1000)
        values = [Metric(name, value, milliseconds, step) for name, value in metrics.items()]
        self._client.log_batch(self.id, metrics=values)

    def epochs(self) -> set[int]:
        """Return the epochs that were logged before."""
        return {metric.step for metric in self._client.get_metric_history(self.id, "loss")}

    def tag(self, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._client.set_tag(self.id, name, value)

    def attach(self, files: Sequence[Path]) -> None:
        for file in files:
            self._client.log_artifact(self.id, str(file), "figures")

    def close(self) -> None:
        self._client.set_terminated(self.id, "FINISHED")


def _write_record(folder: Path, ids: Mapping[str, Any]) -> Artifact:
    path = io.write_text(folder / _FILE_NAME, json.dumps(ids, indent=2) + "\n")
    return Artifact(path, "Identifiers in MLflow", "data", order=950)


def _read_record(results: Path, folder: Path) -> dict[str, Any]:
    """Read the identifiers of the last report, or else those of the training itself."""
    for path in (folder / _FILE_NAME, results / "reports" / _FILE_NAME):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            return record
    return {}
