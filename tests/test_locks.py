"""One lock per folder, held across processes and released when they end."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from images import write_folder

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.locks import folder_lock

HOLD = textwrap.dedent("""
    import sys, time
    from cellvision.locks import folder_lock
    with folder_lock(sys.argv[1], "prepare slice"):
        print("locked", flush=True)
        time.sleep(float(sys.argv[2]))
""")


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a folder, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_another_process_is_refused_and_told_who_holds_the_lock(tmp_path: Path) -> None:
    process = hold(tmp_path, 60)
    try:
        with pytest.raises(errors.FolderError) as caught, folder_lock(tmp_path, "train"):
            pytest.fail("two processes hold one lock")
    finally:
        process.kill()
        process.wait()
    expected = (
        rf"{tmp_path} is in use by: prepare slice, process {process.pid} on "
        rf"{socket.gethostname()}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
    )
    assert re.match(expected, caught.value.what)
    assert caught.value.exit_code == 2
    with folder_lock(tmp_path, "train"):  # a killed process leaves no lock behind
        pass
    assert list(tmp_path.iterdir()) == [], "the folder stays empty"


def test_the_second_one_may_wait(tmp_path: Path) -> None:
    process = hold(tmp_path, 0.5)
    with folder_lock(tmp_path, "train", wait=30):
        assert process.wait(5) == 0


def test_waiting_ends(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "study"):
        start = time.monotonic()
        refused = pytest.raises(errors.FolderError, match="in use by: study")
        with refused, folder_lock(tmp_path, "train", wait=0.3):
            pytest.fail("two holders")
        assert 0.2 < time.monotonic() - start < 5


def test_other_names_of_the_folder_and_other_folders(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deep"  # need not exist
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    with folder_lock(folder, "train"):
        for same in (tmp_path / "link" / "new" / "deep", tmp_path / "new" / "x" / ".." / "deep"):
            with pytest.raises(errors.FolderError, match="in use"), folder_lock(same, "study"):
                pytest.fail("two holders")
        with folder_lock(folder.parent, "train"), folder_lock(folder / "below", "train"):
            pass
    assert not folder.parent.exists()


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with folder_lock(tmp_path, "label", wait=30):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (inside, most) == (0, 1)


def test_the_lock_is_released_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path, "train"):
        raise ZeroDivisionError
    with folder_lock(tmp_path, "train"):
        pass


def test_without_a_state_folder_the_temporary_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLVISION_STATE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    refused = pytest.raises(errors.FolderError, match="in use")
    with folder_lock(tmp_path, "train"), refused, folder_lock(tmp_path, "train"):
        pytest.fail("two holders")
    assert len(list((tmp_path / "temporary").rglob("*.lock"))) == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    refused = pytest.raises(errors.CellvisionError, match="cannot lock")
    with refused, folder_lock(tmp_path, "train"):
        pytest.fail("not locked")


def test_verbs_leave_a_folder_alone_that_another_command_writes_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_folder(tmp_path / "images", {"a": 2, "b": 2})
    out = tmp_path / "out"
    verbs = (
        ["audit", images, "--out", out],
        ["report", out],
        ["prepare", "number", images, "--out", out],
        ["label", images, "--classes", "a,b", "--out", out],
    )
    with folder_lock(out, "train"):
        for words in verbs:
            with pytest.raises(SystemExit) as end:
                main([str(word) for word in words])
            assert end.value.code == 2, words
            assert "in use by: train" in " ".join(capsys.readouterr().err.split()), words
    assert not out.exists()
    run: Any = SimpleNamespace(folder=tmp_path)
    refused = pytest.raises(errors.FolderError, match="in use by: train")
    with folder_lock(tmp_path / "a.onnx", "train"), refused:
        cv.export(run, "onnx", tmp_path / "a.onnx")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no temporary folder of all users")
def test_a_temporary_folder_of_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link in it would make us empty one of our own files."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLVISION_STATE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    refused = pytest.raises(errors.CellvisionError, match="cannot lock")
    own = tmp_path / "temporary" / f"cellvision-locks-{os.getuid()}"
    own.mkdir(parents=True)
    own.chmod(0o777)
    with refused, folder_lock(tmp_path, "train"):
        pytest.fail("not locked")
    own.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    own.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with refused, folder_lock(tmp_path, "train"):
        pytest.fail("not locked")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_filelock_is_imported_late() -> None:
    program = "import sys, cellvision.locks, cellvision.prepare; print('filelock' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert output.stdout == b"False\n"
