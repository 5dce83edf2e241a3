"""Whatever can be checked without the images is checked before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision.cli import main


class Unread(cv.Dataset):
    """A data set whose images must not be read."""

    path: Path

    def catalog(self) -> Any:
        raise AssertionError("the images were read")

    def read(self, image: str) -> Any:
        raise AssertionError("the images were read")


@pytest.fixture
def unread(tmp_path: Path, tiny_plugins: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds the folder ``images`` and one that is in use."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    cv.datasets.register("unread", Unread)
    yield tmp_path
    cv.datasets.unregister("unread")


SOURCE = ("images", "--set", "dataset.type=unread")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("study --out new --runs 0", "runs"),
        ("study --out new --runs -1", "runs"),
        ("study --out new --workers 0", "--workers 0"),
        ("study --out new --expert test=2", "--expert test=2"),
        ("study --out new --expert test", "--expert test"),
        ("study --out new --control nosuch", "nosuch"),
        ("study --out new --control {x", "--control {x"),
        ("study --out new --sizes [0]", "--sizes [0]"),
        ("study --out new --sizes [4,8]", "three sizes"),
        ("study --out new --sizes auto --vary training.epochs=[1,2]", "single experiment"),
        ("study --out new --sizes [4,8,16] --vary training.epochs=[1,2]", "single experiment"),
        ("study --out new --vary training.epochs", "--vary"),
        ("study --out new --vary training.epoch=[1,2]", "epoch"),
        ("study --out new --vary training.epochs=[1,2,1]", "the value 1 is given twice"),
        ("study --out new --vary a=[1] --vary a=[2]", "the key a is given twice"),
        ("study --out new --folds 1", "1 fold"),
        ("study --out new --folds 3 --leave-out well", "three ways"),
        ("study --out new --splitter nosuch", "nosuch"),
        ("study --out new --recipe nosuch", "nosuch"),
        ("study --out used", "thesis.txt"),
        ("study --out file", "file"),
        ("train --out used", "thesis.txt"),
        ("train --out file", "file"),
        ("train --out new --recipe nosuch", "nosuch"),
        ("train --out new --set training.epochs=0", "training.epochs"),
        ("train --out new --set architecture=nosuch", "nosuch"),
        ("audit --out used", "thesis.txt"),
        ("label --out new.sqlite --repeats 0.9", "--repeats 0.9"),
        ("label --out new.sqlite --images 0", "images"),
        ("label --out new.sqlite --practice -1", "practice"),
        ("label --out new.sqlite --static used", "thesis.txt"),
        ("label --out used", "used"),
        ("label --out new.sqlite --run nosuch", "nosuch"),
    ],
)
def test_the_command_checks_options_first(
    unread: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *rest = words.split()
    with pytest.raises(SystemExit) as ended:
        main([verb, *SOURCE, *rest])
    printed = capsys.readouterr().err
    assert ended.value.code == 2, printed
    assert message in printed
    assert sorted(path.name for path in unread.iterdir()) == ["file", "images", "used"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cv.train("images", "used"), "thesis.txt"),
        (lambda: cv.study("images", 0, "new"), "runs"),
        (lambda: cv.study("images", 2, "used"), "thesis.txt"),
        (lambda: cv.study("images", 2, "new", controls="nosuch"), "nosuch"),
        (lambda: cv.study("images", 2, "new", expert={"test": 2}), "expert"),
        (lambda: cv.study("images", 2, "new", sizes=[4, 8]), "three sizes"),
        (lambda: cv.study("images", 2, "new", folds=1), "1 fold"),
        (lambda: cv.study("images", 2, "new", workers=0), "workers"),
        (lambda: cv.audit("images", out="used"), "thesis.txt"),
        (lambda: cv.label("images", "new.sqlite", repeats=0.9), "repeats"),
        (lambda: cv.label("images", "new.sqlite", static="used"), "thesis.txt"),
    ],
)
def test_functions_check_arguments_first(
    unread: Path, call: Callable[[], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv.datasets, "default", lambda _: "unread")
    with pytest.raises(cv.errors.InvalidInput, match=message):
        call()


def test_an_evaluation_checks_its_folder_before_it_opens_the_run(
    unread: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "nosuch", "images", "--out", "used"])
    assert "thesis.txt" in capsys.readouterr().err
    with pytest.raises(cv.errors.FolderError, match=r"thesis\.txt"):
        cv.evaluate("nosuch", "images", "used")
