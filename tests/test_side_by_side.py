"""Runs of a study in worker processes: when it is tried, and that they are the same runs."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision import cli, concurrency, errors, local_plugins
from cellvision.backends import memory
from cellvision.progress import LineDisplay
from cellvision.studies import local_training, local_workers
from cellvision.studies.failed_controls import FailedControls
from cellvision.studies.local_training import train_locally
from cellvision.studies.local_workers import LocalWorkers, WorkerKilled
from cellvision.studies.plan import PlannedRun
from cellvision.studies.side_by_side import (
    FirstRun,
    Machine,
    balanced,
    choose_after_trial,
    raise_if_unavailable,
    workers_to_try,
)

GIGABYTE = 2**30


# --- the choice --------------------------------------------------------------------------


def first_run(step: float = 0.01, seconds: float = 60) -> FirstRun:
    return FirstRun(images_per_second=20 / step, step_seconds=step, seconds=seconds)


def machine(
    processors: int = 4,
    free: int | None = 32 * GIGABYTE,
    peak: int | None = GIGABYTE,
    start: float = 0,
) -> Machine:
    return Machine(processors, free, peak, start)


@pytest.mark.parametrize(
    ("first", "waiting", "here", "workers", "reason"),
    [
        (first_run(), 11, machine(), 4, ""),
        (first_run(), 11, machine(processors=2), 2, ""),
        (first_run(), 11, machine(processors=8), 6, ""),  # two rounds, like eight workers
        (first_run(), 11, machine(free=3 * GIGABYTE), 3, ""),
        (first_run(), 11, machine(free=GIGABYTE), 1, "too little free memory"),
        (first_run(), 11, machine(free=None), 1, "does not say how much memory"),
        (first_run(), 11, machine(peak=None), 1, "does not say how much memory"),
        (first_run(step=0.3), 11, machine(), 1, "a step takes 0.3 s"),
        (first_run(seconds=1), 11, machine(), 1, ""),  # over before workers have started
        (first_run(), 11, machine(start=100), 1, ""),  # every worker would read all images
        (first_run(), 11, machine(processors=1), 1, ""),
        (first_run(), 1, machine(), 1, ""),
        (None, 11, machine(), 1, ""),
    ],
)
def test_workers_are_tried_where_they_can_pay(
    first: FirstRun | None, waiting: int, here: Machine, workers: int, reason: str
) -> None:
    choice = workers_to_try(first, waiting, here)
    assert choice.workers == workers
    assert bool(choice.reason) == bool(reason)
    assert reason in choice.reason


def test_workers_finish_together() -> None:
    for runs in range(1, 30):
        for most in range(1, 12):
            number = balanced(runs, most)
            assert 1 <= number <= most
            assert -(-runs // number) == -(-runs // most)
            assert number == 1 or -(-runs // (number - 1)) > -(-runs // most)


def test_the_trial_decides() -> None:
    faster = choose_after_trial(1000, [600, 650, 550])
    assert faster.workers == 3
    assert faster.reason == "3 runs side by side: 1.8 times as fast as one after the other"
    slower = choose_after_trial(1000, [400, 300])
    assert slower.workers == 1
    assert slower.reason == "one after the other: 2 runs side by side are 0.7 times as fast"
    assert choose_after_trial(1000, [510, 510]).workers == 1  # within the noise


def test_the_first_run_is_timed_without_its_first_epoch() -> None:
    history = pd.DataFrame({"seconds": [9.0, 2.0, 4.0]})
    timings = SimpleNamespace(train_images_per_s=400.0, vectorized=1)
    run: Any = SimpleNamespace(history=history, metadata=SimpleNamespace(timings=timings))
    assert FirstRun.of(run, batch_size=20) == FirstRun(400.0, 0.05, 9.0)
    timings.vectorized = 4
    assert FirstRun.of(run, batch_size=20) is None
    timings.vectorized, run.history = 1, history.iloc[:1]
    assert FirstRun.of(run, batch_size=20) is None


# --- refusals ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=18, wells=6)


def test_impossible_numbers_are_refused(images: Path, tmp_path: Path) -> None:
    for workers in (0, -2, True, "many", 1.5):
        with pytest.raises(errors.ExperimentError, match="expected auto or a number from 1"):
            cv.study(tiny.experiment(images, "perceptron"), 2, tmp_path / "no", workers=workers)  # type: ignore[arg-type]
    client: Any = SimpleNamespace()
    with pytest.raises(errors.ExperimentError, match="a Dask cluster has its own"):
        cv.study(
            tiny.experiment(images, "perceptron"), 2, tmp_path / "no", workers=2, client=client
        )
    assert not (tmp_path / "no").exists()


def test_the_command_refuses_them_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["study", "never", "--out", "never", "--workers", "half"])
    assert end.value.code == 2
    assert "--workers half: expected auto or a number from 1" in capsys.readouterr().err


def test_classes_of_this_process_are_refused(images: Path, tmp_path: Path) -> None:
    raise_if_unavailable(PlannedRun("000", "net", tiny.experiment(images, "perceptron"), 0))
    with tiny.on_offer():
        experiment = tiny.experiment(images, "level")
        with pytest.raises(errors.ExperimentError, match="Level is registered in this process"):
            raise_if_unavailable(PlannedRun("000", "level", experiment, 0))
        with pytest.raises(errors.ExperimentError, match="Level is registered in this process"):
            cv.study(experiment, 2, tmp_path / "study", workers=2)
    assert not list((tmp_path / "study").glob("runs/*"))


# --- memory and processors ---------------------------------------------------------------


def test_free_memory_respects_limits_of_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(concurrency, "_PROCESS_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(concurrency, "_CGROUP_MOUNT", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    (tmp_path / "cgroup").write_text("0::/job\n")
    job = tmp_path / "job"
    job.mkdir()
    assert memory.free_memory() == 5000 * 1024
    (job / "memory.max").write_text("max\n")
    (job / "memory.current").write_text("2000\n")
    (job / "memory.stat").write_text("anon 1500\ninactive_file 300\n")
    assert memory.free_memory() == 5000 * 1024
    (job / "memory.max").write_text("3000\n")
    assert memory.free_memory() == 3000 - 2000 + 300
    (job / "memory.current").write_text("4000\n")
    assert memory.free_memory() == 0
    (tmp_path / "cgroup").write_text("5:memory:/job\n")
    old = tmp_path / "memory" / "job"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("1000\n")
    (old / "memory.usage_in_bytes").write_text("900\n")
    (old / "memory.stat").write_text("total_inactive_file 50\n")
    assert memory.free_memory() == 150


def test_this_process_has_used_memory() -> None:
    peak = memory.peak_memory()
    assert peak is not None
    assert peak > 2**24


@pytest.mark.parametrize(
    ("number", "side", "threads"), [(2, 16, "1"), (2, 512, "4"), (16, 512, "1")]
)
def test_workers_share_the_processors(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    side: int,
    threads: str,
) -> None:
    monkeypatch.setattr(local_workers, "available_processors", lambda: 8)
    monkeypatch.setattr(local_workers, "keras_backend", lambda: "tensorflow")
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    experiment = tiny.experiment(images, "perceptron", preprocessing={"size": (side, side)})
    environment = LocalWorkers(tmp_path, [experiment], FailedControls())._environment(number)
    assert environment["TF_NUM_INTRAOP_THREADS"] == threads
    assert environment["TF_NUM_INTEROP_THREADS"] == str(max(1, 8 // number))
    assert environment["OMP_NUM_THREADS"] == "3"  # the user's
    assert environment["KERAS_BACKEND"] == "tensorflow"


# --- the course of a study, without training ----------------------------------------------


class Machinery:
    """Stands in for runners and workers: writes empty records, at certain speeds."""

    def __init__(self, folder: Path, alone: float, together: float) -> None:
        self.folder = folder
        self.speeds: dict[str, float] = {}
        self.alone, self.together = alone, together
        self.here: list[str] = []
        self.in_workers: list[str] = []
        self.kills = ""

    def write(self, name: str, speed: float) -> None:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / name / "run.json").touch()
        self.speeds[name] = speed

    # a runner

    def __call__(self, experiment: cv.Experiment, display: Any) -> Any:
        return SimpleNamespace(
            prepared=SimpleNamespace(experiment=experiment, seconds=0.0),
            trains_on_one_processor=True,
            train_vectorized=lambda runs, folder: 0,
            train=self.train_here,
        )

    def train_here(self, seed: int, control: Any, folder: Path) -> None:
        self.here.append(folder.name)
        self.write(folder.name, self.alone)

    # workers

    def train(self, runs: deque[PlannedRun], number: int) -> Iterator[tuple[int, PlannedRun]]:
        while runs:
            started = [runs.popleft() for _ in range(min(number, len(runs)))]
            for worker, run in enumerate(started):
                if run.name == self.kills:
                    raise WorkerKilled("killed")
                self.in_workers.append(run.name)
                self.write(run.name, self.together)
                yield worker, run

    def end(self, *, at_once: bool = False) -> None:
        pass

    # a finished run

    def load(self, folder: Path) -> Any:
        timings = SimpleNamespace(train_images_per_s=self.speeds[folder.name], vectorized=1)
        history = pd.DataFrame({"seconds": [200.0, 200.0]})
        return SimpleNamespace(history=history, metadata=SimpleNamespace(timings=timings))


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machinery:
    machinery = Machinery(tmp_path / "runs", alone=1000, together=800)
    monkeypatch.setattr(local_training, "Runner", machinery)
    monkeypatch.setattr(
        local_training, "LocalWorkers", lambda *_: contextlib.nullcontext(machinery)
    )
    monkeypatch.setattr(local_training, "load_run", machinery.load)
    monkeypatch.setattr(local_training, "available_processors", lambda: 2)
    monkeypatch.setattr(local_training, "free_memory", lambda: 32 * GIGABYTE)
    return machinery


def plan(images: Path, runs: int = 6, architecture: str = "perceptron") -> list[PlannedRun]:
    experiment = tiny.experiment(images, architecture)
    return [PlannedRun(f"{k:03d}", architecture, experiment, k) for k in range(runs)]


def train(machinery: Machinery, runs: Sequence[PlannedRun], workers: Any = "auto") -> None:
    train_locally(runs, runs, machinery.folder, LineDisplay(), FailedControls(), workers)
    assert sorted([*machinery.here, *machinery.in_workers]) == sorted(run.name for run in runs)


def test_a_faster_trial_goes_on_with_workers(
    started: Machinery, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(started, plan(images))
    assert started.here == ["000"]
    lines = capsys.readouterr().err.splitlines()
    assert "2 runs side by side: 1.6 times as fast as one after the other" in lines
    assert [line for line in lines if "runs done" in line and "take" not in line] == [
        f"{done}/6 runs done, 2 workers" for done in range(1, 7)
    ]


def test_a_slower_trial_ends_with_its_runs(
    started: Machinery,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started.together = 450
    times = iter(range(0, 10**6, 100))
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr("cellvision.progress_displays.time", clock)
    train(started, plan(images))
    assert started.in_workers == ["001", "002"]
    assert started.here == ["000", "003", "004", "005"]
    printed = capsys.readouterr().err
    assert "one after the other: 2 runs side by side are 0.9 times as fast" in printed
    # Three runs have taken 100 s, here and in workers.
    assert "3 of 6 runs done, the others take about 2 minutes" in printed


def test_a_killed_worker_of_a_trial_costs_no_run(
    started: Machinery, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started.kills = "002"
    train(started, plan(images))
    assert started.in_workers == ["001"]
    assert started.here == ["000", "002", "003", "004", "005"]
    assert "killed; the other runs train one after the other" in caplog.text


def test_each_network_has_its_own_trial_and_folds_share_it(
    started: Machinery, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = [
        PlannedRun(f"{run.name}_fold{fold}", "net", experiment, run.seed, fold=fold)
        for fold in (1, 2)
        for experiment in [tiny.experiment(images, "perceptron", split={"fold": fold})]
        for run in plan(images, 3)
    ]
    others = [
        PlannedRun(f"1{k:02d}", "other", tiny.experiment(images, "fmnist_deep"), k)
        for k in range(4)
    ]
    train(started, [*folds, *others])
    assert started.here == ["000_fold1", "100"]
    assert capsys.readouterr().err.count("times as fast as one after the other") == 2


@pytest.mark.parametrize("workers", [3, 1])
def test_requested_numbers_need_no_trial(started: Machinery, images: Path, workers: int) -> None:
    train(started, plan(images), workers)
    assert (started.here == []) == (workers > 1)
    assert (started.in_workers == []) == (workers == 1)


def test_a_killed_worker_ends_a_study_that_requests_workers(
    started: Machinery, images: Path
) -> None:
    started.kills = "001"
    with pytest.raises(WorkerKilled):
        train(started, plan(images), workers=2)


def test_a_study_of_classes_of_this_process_goes_on_without_workers(
    started: Machinery, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tiny.on_offer():
        train(started, plan(images, architecture="level"))
    assert started.in_workers == []
    assert "one after the other: architecture Level is registered" in capsys.readouterr().err


# --- real processes ----------------------------------------------------------------------

PLUGINS = '''
import logging, os, signal
from pathlib import Path
import cellvision as cv

@cv.reporters.register("fatal")
class Fatal(cv.Reporter):
    """Kills the process that trains run 001, once; warns and prints in run 000."""

    def on_run_begin(self, folder, experiment):
        flag = Path("FLAG")
        if experiment.training.seed == 6 and flag.exists():
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if experiment.training.seed == 5:
            logging.getLogger("net").warning("about to train")
            print("printed")
        return self
'''


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "fatal_plugins.py"
    path.write_text(PLUGINS.replace("FLAG", (tmp_path / "fatal").as_posix()))
    loaded = cv.load_plugins(path)
    yield path
    local_plugins._forget(loaded.module)


@pytest.mark.slow
def test_workers_train_the_same_runs_and_a_killed_one_costs_no_other(
    images: Path,
    plugins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    settings: dict[str, Any] = {"seed": 5, "epochs": 3, "reporters": [{"type": "fatal"}]}
    experiment = tiny.experiment(images, "perceptron", **settings)
    folder = tmp_path / "study"
    (tmp_path / "fatal").touch()
    caplog.set_level(logging.WARNING)
    with pytest.raises(WorkerKilled, match=r"run 001 \(seed 6\): .* was killed \(SIGKILL\)") as end:
        cv.study(experiment, runs=4, out=folder, workers=2)
    assert "--workers 1" in end.value.hint
    assert "run 000: about to train" in caplog.text
    assert "run 000: printed" in caplog.text
    done = sorted(path.parent.name for path in folder.glob("runs/*/run.json"))
    assert done == ["000"]
    study = cv.study(experiment, runs=4, out=folder, workers=2)
    alone = cv.study(experiment, runs=4, out=tmp_path / "alone", workers=1)
    assert study.metadata == alone.metadata
    for one, other in zip(study.runs, alone.runs, strict=True):
        assert one.metadata.seed == other.metadata.seed
        assert one.metadata.environment.threads == 1
        files = [
            sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*"))
            for run in (one, other)
        ]
        assert files[0] == files[1]
        histories = [run.history.drop(columns="seconds") for run in (one, other)]
        np.testing.assert_allclose(*histories, atol=1e-4)
        tables = [tiny.probabilities(run.predictions) for run in (one, other)]
        np.testing.assert_allclose(*tables, atol=1e-4)


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")
def test_an_interrupt_stops_the_workers_and_keeps_finished_runs(
    images: Path, tmp_path: Path
) -> None:
    cv.save_experiment(tiny.experiment(images, "perceptron", epochs=40), tmp_path / "study.json")
    words = ["study", str(tmp_path / "study.json"), "--runs", "6", "--workers", "2"]
    with tiny.running(*words, "--out", str(tmp_path / "study")) as process:
        assert process.stderr is not None
        assert any("1/6 runs done" in line for line in process.stderr)
        children = children_of(process.pid)
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        assert "the same command resumes the study" in process.stderr.read()
        assert process.wait() == 130
        assert time.monotonic() - begin < 10
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert list((tmp_path / "study").glob("runs/*/run.json"))
    assert not (tmp_path / "study" / "study.json").exists()


def children_of(parent: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                children.append(int(entry.name))
    return children
