"""Links that lead nowhere, pipes and folders without permission among images."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.cli import main

pytestmark = [
    pytest.mark.usefixtures("tiny_plugins"),
    pytest.mark.skipif(
        sys.platform == "win32",
        reason="links need a privilege on Windows, which has no named pipes",
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    images = tiny.make_folder(tmp_path_factory.mktemp("images") / "images", count=12)
    return cv.train(tiny.experiment(images, epochs=1), tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tiny.make_folder(tmp_path / "images", count=4)


def broken(link: Path, target: Path) -> str:
    """Make a link to nothing; return what is said of it."""
    link.symlink_to(target)
    return f"it is a broken link to {target}"


def relative(link: Path, target: Path) -> str:
    link.symlink_to(os.path.relpath(target, link.parent))
    return f"it is a broken link to {target}"


def chain(link: Path, target: Path) -> str:
    """A link to a link to nothing: the end is named."""
    between = target.with_name("between.png")
    between.symlink_to(target)
    link.symlink_to(between)
    return f"it is a broken link to {target}"


def loop(link: Path, target: Path) -> str:
    link.symlink_to(link)
    return "it is a link that leads back to itself"


def pipe(link: Path, target: Path) -> str:
    """A link to a named pipe, which nobody writes to: opening it would wait for ever."""
    os.mkfifo(target)
    link.symlink_to(target)
    return "it is not a regular file"


KINDS = [broken, relative, chain, loop, pipe]


@pytest.mark.parametrize("make", KINDS)
def test_a_link_among_images_says_where_it_leads(
    run: cv.Run, images: Path, tmp_path: Path, make: object
) -> None:
    reason = make(images / "dark" / "x.png", tmp_path / "gone.png")  # type: ignore[operator]
    audit = cv.audit(cv.datasets.create("folder", path=images))
    (refused,) = [file for file in audit.files if file.status == "refused"]
    assert refused.file == "dark/x.png"
    assert refused.reason.startswith(f"{reason}. ")
    for verb in (cv.predict, cv.evaluate):
        with pytest.raises(errors.UnreadableImages) as caught:
            verb(run, images, tmp_path / "out.csv", engine="keras")
        (fault,) = caught.value.faults
        assert (Path(fault.file).name, fault.reason) == ("x.png", reason)
    table = cv.predict(run, images, engine="keras", skip_unreadable=True)
    assert len(table) == 8


@pytest.mark.parametrize("make", [broken, loop])
def test_a_link_in_place_of_the_folder_says_where_it_leads(
    run: cv.Run, tmp_path: Path, make: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plate"
    reason = make(folder, tmp_path / "disk" / "plate")  # type: ignore[operator]
    out = ("--out", tmp_path / "out.csv")
    for words in (
        ("audit", folder),
        ("train", folder, *out),
        ("predict", run.folder, folder, *out),
        ("evaluate", run.folder, folder, *out),
        ("label", folder, "--classes", "a,b", "--out", tmp_path / "answers.sqlite"),
        ("report", run.folder, "--run-images", folder, "--reporter", "panel"),
    ):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert f"error: {folder}: {reason}" in error
        assert "Did you mean" not in error


def test_a_folder_below_a_broken_link_names_the_link(run: cv.Run, tmp_path: Path) -> None:
    broken(tmp_path / "disk", tmp_path / "gone")
    with pytest.raises(errors.FolderError) as caught:
        cv.predict(run, tmp_path / "disk" / "plate_2")
    assert caught.value.what == (
        f"{tmp_path / 'disk' / 'plate_2'}: {tmp_path / 'disk'} is a broken link to "
        f"{tmp_path / 'gone'}"
    )
    tiny.write(tmp_path / "s0.png", tiny.pixels(60, 1))
    with pytest.raises(errors.FolderError, match=r"s0\.png is a file"):
        cv.predict(run, tmp_path / "s0.png" / "dark")


def test_what_is_no_file_is_skipped_by_name(
    run: cv.Run, images: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(images / "dark" / "pipe.png")
    (images / "dark" / "folder.png").mkdir()
    monkeypatch.chdir(images / "dark")  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as connection:
        connection.bind("socket.png")
        audit = cv.audit(cv.datasets.create("folder", path=images))
        assert len(cv.predict(run, images, engine="keras")) == 8
        assert "pipe.png" in caplog.text
        with pytest.raises(errors.UnreadableImages, match="it is not a regular file"):
            cv.predict(run, images / "dark" / "pipe.png", engine="keras")
    skipped = {file.file: file.reason for file in audit.files if file.status == "skipped"}
    assert skipped == {
        "dark/pipe.png": "not a regular file",
        "dark/socket.png": "not a regular file",
        "dark/folder.png/": "empty folder",
        "groups.csv": "provenance table",
    }


def test_a_folder_without_permission_is_named(run: cv.Run, images: Path) -> None:
    for folder in (images, images / "dark"):
        folder.chmod(0)
        if os.access(folder, os.R_OK):
            pytest.skip("root ignores permissions")
        try:
            for refused in (
                lambda: cv.predict(run, images),
                lambda: cv.audit(cv.datasets.create("folder", path=images)),
            ):
                with pytest.raises(errors.FolderError, match=f"cannot list {folder}: Permission"):
                    refused()
        finally:
            folder.chmod(0o755)


def test_the_digest_of_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        cv.io.file_digest(tmp_path / "pipe")
    shutil.copyfile(__file__, tmp_path / "file")
    assert cv.io.file_digest(tmp_path / "file") == cv.io.file_digest(__file__)
