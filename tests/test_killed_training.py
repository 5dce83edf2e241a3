"""Trainings and studies killed before a random file operation: the same command finishes them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny
from python_path import TESTS, python_path

import cellvision as cv

KILLS = int(os.environ.get("CELLVISION_KILLS", "5"))
SEED = int(os.environ.get("CELLVISION_KILL_SEED", "0"))
"""How often each command is killed, and the seed of the moments; 40 were run by hand."""

FINISHED = 3
"""Exit status where the folder holds a finished run."""

VERBS = ("train", "checkpoints", "study")

# Children are forked before the backend has computed anything.
DIE = textwrap.dedent("""
    import os, signal, sys
    import keras
    import tiny
    import cellvision as cv

    def work(verb, images, folder, moment):
        count = 0
        def hook(event, arguments):
            nonlocal count
            if event in ("open", "os.rename", "os.remove", "os.mkdir") and folder in str(arguments):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        with tiny.on_offer():
            one = tiny.experiment(images, epochs=2, checkpoints=verb == "checkpoints")
            if verb == "study":
                cv.study(one, 2, folder, progress=False)
            else:
                cv.train(one, folder, progress=False)
        return count

    for line in sys.stdin:
        verb, images, folder, moment = line.rstrip().split("|")
        if (child := os.fork()) == 0:
            try:
                count = work(verb, images, folder, int(moment))
                os.write(1, f"{count}\\n".encode())
                os._exit(0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(3 if isinstance(error, cv.errors.FolderError) else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("ended", status, flush=True)
""")

Work = Callable[..., tuple[int, int]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=12)


@pytest.fixture(scope="module")
def work(images: Path) -> Iterator[Work]:
    """Return a function that runs a command in a folder and dies before its n-th operation.

    It returns the exit status and the number of file operations; 0 if it died.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", DIE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": python_path(TESTS)},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def run(verb: str, folder: Path, moment: int = 0) -> tuple[int, int]:
        process.stdin.write(f"{verb}|{images}|{folder}|{moment}\n")
        process.stdin.flush()
        count = 0
        while not (line := process.stdout.readline()).startswith("ended"):
            assert line, "the process that forks has ended"
            count = int(line)
        return int(line.split()[1]), count

    yield run
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


def content(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the predictions of each run below a folder."""
    files = sorted(folder.rglob("predictions.csv"))
    return {file.relative_to(folder).as_posix(): pd.read_csv(file) for file in files}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(verb, marks=pytest.mark.exhaustive if verb == "train" else pytest.mark.slow)
        for verb in VERBS
    ],
)
def test_killed_at_random_moments(tmp_path: Path, work: Work, verb: str) -> None:
    whole = tmp_path / "whole"
    status, operations = work(verb, whole)
    assert status == 0
    assert operations > 10
    expected = content(whole)
    rng = random.Random(SEED)
    for number in range(KILLS):
        folder = tmp_path / f"killed {number}"
        moment = rng.randint(1, operations)
        assert work(verb, folder, moment)[0] == -9, moment
        # A run that was finished before the kill is not trained again. It lacks at most reports.
        finished = verb != "study" and (folder / "run.json").exists()
        assert work(verb, folder)[0] == (FINISHED if finished else 0), moment
        missing = {"reports"} if finished and not (folder / "reports").exists() else set()
        assert names(folder) | missing == names(whole), moment
        for name, table in content(folder).items():
            pd.testing.assert_frame_equal(table, expected[name])
        opened = cv.load_study(folder).runs if verb == "study" else cv.load_run(folder).history
        assert len(opened) == 2
