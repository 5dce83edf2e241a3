"""Studies on a Dask cluster: the same runs as in one process, even if workers die."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import pytest
import tiny
from test_failed_controls import CONTROL

import cellvision as cv
from cellvision import cli, errors
from cellvision.backends.seeding import seeded
from cellvision.studies import dask as clusters


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=18, wells=6)


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    """Two worker processes with one thread each; each takes seconds to import its backend."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: distributed.LocalCluster) -> Iterator[distributed.Client]:
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run(offer)
        yield client


class Unlike(cv.Dataset):
    """Dark and light images that no two processes see alike, or whose sight is deadly."""

    deadly: bool = False

    def catalog(self) -> pd.DataFrame:
        labels = ["dark"] * 12 + ["light"] * 12
        return pd.DataFrame({"image": [str(k) for k in range(24)], "label": labels})

    def read(self, image: str) -> np.ndarray:
        if self.deadly:
            os._exit(1)
        number = int(image)
        level = tiny.BRIGHTNESS["dark" if number < 12 else "light"]
        return tiny.pixels(level, number + 24 * os.getpid())[..., np.newaxis]


def offer() -> None:
    """Offer it in a worker's process, as a plugin would that is installed there."""
    cv.datasets.register("unlike", Unlike)


@pytest.fixture(autouse=True)
def _offered() -> Iterator[None]:
    offer()
    yield
    cv.datasets.unregister("unlike")


def experiment(images: Path, **settings: Any) -> cv.Experiment:
    # A network of a plugin: the workers are processes that know nothing of this file.
    return tiny.experiment(images, "perceptron", **{"seed": 5, "epochs": 12, **settings})


@pytest.fixture(scope="module")
def here(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Study:
    """The same study in one process."""
    return cv.study(experiment(images), runs=4, out=tmp_path_factory.mktemp("here") / "study")


def assert_same(study: cv.Study, expected: cv.Study) -> None:
    """Every run once, and each the run that it is in one process."""
    assert study.metadata == expected.metadata
    names = {path.name for path in (study.folder / "runs").iterdir()}
    assert names == {"000", "001", "002", "003"}
    columns = ["run", "experiment", "seed", "split", "n"]
    assert study.table[columns].equals(expected.table[columns])
    for one, other in zip(study.runs, expected.runs, strict=True):
        histories = [run.history.drop(columns="seconds") for run in (one, other)]
        # Threads may add up in another order on another process.
        np.testing.assert_allclose(*histories, atol=1e-4)
        tables = [tiny.probabilities(run.predictions) for run in (one, other)]
        np.testing.assert_allclose(*tables, atol=1e-4)


def meanwhile(work: Callable[[], None]) -> threading.Thread:
    started = threading.Thread(target=work, daemon=True)
    started.start()
    return started


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.exhaustive
def test_a_cluster_does_the_same_study(
    client: distributed.Client,
    here: cv.Study,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = cv.study(
        experiment(images), runs=4, out=tmp_path / "study", client=client, progress=True
    )
    assert_same(study, here)
    for theirs, ours in zip(study.runs, here.runs, strict=True):
        files = [sorted(path.name for path in run.folder.iterdir()) for run in (theirs, ours)]
        assert files[0] == files[1]
        assert theirs.model().count_params() == ours.model().count_params()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "runs done" in line] == [
        f"{done}/4 runs done, 2 workers" for done in range(5)
    ]


@pytest.mark.exhaustive
def test_controls_and_their_settings_reach_the_workers(
    client: distributed.Client, images: Path, tmp_path: Path
) -> None:
    controls = ["permuted_groups", cv.controls.create("texture", orientations=2)]
    options: dict[str, Any] = {"runs": 1, "controls": controls, "progress": False}
    theirs = cv.study(experiment(images), out=tmp_path / "theirs", client=client, **options)
    ours = cv.study(experiment(images), out=tmp_path / "ours", **options)
    assert list(theirs.controls) == list(ours.controls) == ["permuted_groups", "texture"]
    for name, (run,) in ours.controls.items():
        (other,) = theirs.controls[name]
        assert other.metadata.experiment == run.metadata.experiment
        columns = ["image", "label", "predicted"]
        assert other.predictions[columns].equals(run.predictions[columns])
    assert ours.controls["texture"][0].metadata.experiment["architecture"] == {
        "type": "scattering",
        "orientations": 2,
        "l2": 0.001,
    }


@pytest.mark.exhaustive
def test_a_worker_killed_in_the_middle_costs_no_run(
    client: distributed.Client, here: cv.Study, images: Path, tmp_path: Path
) -> None:
    processes = client.run(os.getpid)
    killed: list[str] = []

    def kill() -> None:
        wait_for(lambda: any((tmp_path / "study" / "runs").glob("*/run.json")))
        busy = {address: keys for address, keys in client.processing().items() if keys}
        victim = next(address for address in busy if address in processes)
        os.kill(processes[victim], signal.SIGKILL)
        killed.append(victim)

    killer = meanwhile(kill)
    study = cv.study(experiment(images), runs=4, out=tmp_path / "study", client=client)
    killer.join()
    assert len(killed) == 1
    assert_same(study, here)
    wait_for(lambda: len(client.nthreads()) == 2)
    assert processes[killed[0]] not in client.run(os.getpid).values()


@pytest.mark.exhaustive
def test_killed_client_resumes(
    client: distributed.Client, here: cv.Study, images: Path, tmp_path: Path
) -> None:
    cv.save_experiment(experiment(images), tmp_path / "study.json")
    words = ["study", str(tmp_path / "study.json"), "--runs", "4", "--out", str(tmp_path / "study")]
    words += ["--scheduler", client.scheduler.address]
    started = tiny.process(*words)
    assert started.stderr is not None
    assert any("1/4 runs done" in line for line in started.stderr)
    started.kill()
    started.communicate()
    run_files = list((tmp_path / "study" / "runs").glob("*/run.json"))
    mtimes = {path: path.stat().st_mtime_ns for path in run_files}
    assert 1 <= len(mtimes) < 4
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 0
    assert_same(cv.load_study(tmp_path / "study"), here)
    assert {path: path.stat().st_mtime_ns for path in run_files} == mtimes


@pytest.mark.exhaustive
def test_a_run_that_fails_ends_the_study_with_its_own_error(
    client: distributed.Client, images: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(images, tmp_path / "broken")
    (broken / "dark" / "s3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    grid = {"good": experiment(images, epochs=1), "bad": experiment(broken, epochs=1)}
    with pytest.raises(errors.UnreadableImages) as cluster_error:
        cv.study(grid, runs=2, out=tmp_path / "study", client=client)
    with pytest.raises(errors.UnreadableImages) as local_error:
        cv.study(grid, runs=2, out=tmp_path / "alone")
    assert str(cluster_error.value) == str(local_error.value)
    names = {path.name for path in (tmp_path / "study" / "runs").iterdir()}
    assert names == {"000", "001"}
    # The worker has seen the broken image, and must look again.
    shutil.copy(images / "dark" / "s3.png", broken / "dark" / "s3.png")
    study = cv.study(grid, runs=2, out=tmp_path / "study", client=client)
    assert list(study.table["experiment"].unique()) == ["good", "bad"]
    assert len(study.runs) == 4


@pytest.mark.exhaustive
def test_a_control_that_fails_on_a_worker_is_left_out(
    client: distributed.Client, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "mirror.py").write_text(CONTROL)
    (tmp_path / "fails").touch()
    cv.load_plugins(tmp_path / "mirror.py")
    study = cv.study(
        experiment(images, epochs=1),
        *(2, tmp_path / "study"),
        controls=["mirror", "pane", "intensity"],
        client=client,
    )
    assert list(study.controls) == ["intensity"]
    failed = study.metadata.experiments[0].failed_controls
    assert set(failed) == {"mirror", "pane"}
    assert "ValueError: no mirror" in failed["mirror"]
    assert "no pane 4" in failed["pane"]


@pytest.mark.exhaustive
def test_workers_that_see_other_images_are_noticed(
    client: distributed.Client, tmp_path: Path
) -> None:
    client.run(offer)
    unlike = tiny.experiment(tmp_path, "perceptron", epochs=1).model_copy(
        update={"dataset": Unlike()}
    )
    with pytest.raises(errors.CellvisionError, match="other images than run"):
        cv.study(unlike, runs=3, out=tmp_path / "study", client=client)


@pytest.mark.exhaustive
def test_workers_that_differ_are_refused(
    client: distributed.Client, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib_metadata
    import keras

    version = importlib_metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib_metadata, "version", lambda name: "0.0" if name == "keras" else version(name)
        )
        with pytest.raises(errors.CellvisionError, match=r"keras is 0\.0 where .* on the worker"):
            cv.study(experiment(images), runs=1, out=tmp_path / "version", client=client)
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "jax")
        with pytest.raises(errors.CellvisionError, match="backend is jax where") as caught:
            cv.study(experiment(images), runs=1, out=tmp_path / "backend", client=client)
    assert "KERAS_BACKEND=jax" in caught.value.hint


@pytest.mark.exhaustive
def test_a_study_waits_for_workers_and_warns_of_their_threads(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cellvision")
    with (
        distributed.LocalCluster(
            n_workers=0,
            threads_per_worker=2,
            processes=False,
            memory_limit=0,
            dashboard_address=":0",
        ) as later,
        distributed.Client(later, set_as_default=False) as client,
    ):
        helper = meanwhile(lambda: (wait_for(lambda: "no worker" in caplog.text), later.scale(1)))
        study = cv.study(
            experiment(images, epochs=1), runs=3, out=tmp_path / "study", client=client
        )
        helper.join()
    assert len(study.runs) == 3
    assert caplog.text.count("no worker is connected") == 1
    assert caplog.text.count("--nthreads 1") == 1


@pytest.mark.exhaustive
def test_a_run_that_kills_its_workers_ends_the_study(
    cluster: distributed.LocalCluster, client: distributed.Client, tmp_path: Path
) -> None:
    client.run(offer)
    deadly = tiny.experiment(tmp_path, "perceptron", epochs=1).model_copy(
        update={"dataset": Unlike(deadly=True)}
    )
    cluster.scheduler.allowed_failures = 0
    with pytest.raises(errors.CellvisionError, match=r"run 000 .* killed 1 workers") as caught:
        cv.study(deadly, runs=1, out=tmp_path / "study", client=client)
    assert "memory" in caught.value.hint


@pytest.mark.slow
def test_other_threads_do_not_change_the_weights() -> None:
    import keras

    def drawn() -> list[float]:
        with seeded(7):
            return [float(keras.initializers.GlorotUniform()((1,))[0]) for _ in range(200)]

    expected = drawn()
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            random.randint(1, 9)
            random.random()

    disturber = meanwhile(disturb)
    try:
        assert drawn() == expected
    finally:
        stop.set()
        disturber.join()
    keras.utils.set_random_seed(7)
    assert float(keras.initializers.GlorotUniform()((1,))[0]) == expected[0]


def test_connection_errors_name_the_cause(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_CONNECTION_TIMEOUT", 0.3)
    for address in ("nonsense", "tcp://127.0.0.1:1"):
        with pytest.raises(errors.ExperimentError, match=address) as caught:
            clusters.connect(address)
        assert "dask scheduler" in caught.value.hint
    with pytest.raises(errors.ExperimentError, match=r"distributed\.Client"):
        cv.study(experiment(images), runs=1, out=tmp_path / "study", client="tcp://host:8786")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(errors.ExperimentError, match="not installed") as caught:
        clusters.connect("tcp://host:8786")
    assert "cellvision[cluster]" in caught.value.hint
