"""Exporters are plugins: third-party formats are exported, checked and refused like ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.testing import Isolation, check, example_plugins, example_run

EXPORTER = '''
"""An exporter of the predictions, without a network."""
import json
from typing import ClassVar

import cellvision as cv
from cellvision import errors

class Card(cv.Exporter):
    """A card with the recorded probabilities, and a file beside it."""

    suffix: ClassVar[str] = ".card"
    packages: ClassVar[tuple[str, ...]] = ({packages})

    title: str = "cells"
    """Title of the card."""

    def export(self, run, folder):
        """Write it."""
        path = folder / "model.card"
        path.write_text(json.dumps([self.title, run.predictions.to_csv(index=False)]))
        (folder / "model.notes.txt").write_text("notes")
        (folder / "model.parts").mkdir()
        (folder / "model.parts" / f"{{self.title}}.txt").touch()
        {export}
        return path

    def verify(self, run, folder):
        """Compare the probabilities."""
        {verify}
        written = json.loads((folder / "model.card").read_text())[1]
        if written != run.predictions.to_csv(index=False):
            raise errors.ConversionError("the card differs", "Write it again.")
        return {{"rows": len(run.predictions)}}

    def embed_description(self, description, folder):
        """Add a file with the classes."""
        (folder / "model.classes.json").write_text(json.dumps(description["class_names"]))
'''


def install(isolation: Isolation, **faults: str) -> None:
    filled = {"packages": "", "export": "", "verify": "", **faults}
    isolation.install(
        "lab-card", {"exporter": {"card": "lab_card:Card"}}, {"lab_card": EXPORTER.format(**filled)}
    )


@pytest.fixture
def run(tmp_path: Path, isolated_registries: Isolation) -> Iterator[cv.Run]:
    with example_plugins():
        yield example_run(tmp_path / "run")


def failures(name: str = "card") -> dict[str, str]:
    return {r.check: r.reason for r in check("exporter", name) if r.outcome == "failed"}


def test_all_files_get_the_name_and_the_description(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path
) -> None:
    install(isolated_registries)
    path = cv.export(
        run.folder, cv.exporters.create("card", title="mine"), tmp_path / "out" / "my.card"
    )
    assert json.loads(path.read_text())[0] == "mine"
    assert {file.name for file in path.parent.iterdir()} == {
        "my.card",
        "my.card.json",
        "my.notes.txt",
        "my.classes.json",
        "my.parts",
    }
    described = json.loads((path.parent / "my.card.json").read_text())
    assert described["format"] == "card"
    assert described["file"] == "my.card"
    assert described["checked"] == {"rows": len(run.predictions)}
    classes = json.loads((path.parent / "my.classes.json").read_text())
    assert classes == described["class_names"] == ["alpha", "beta", "gamma"]


def test_a_second_export_replaces_folders_beside_the_file(
    run: cv.Run,
    isolated_registries: Isolation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(isolated_registries)
    path = tmp_path / "my.card"

    def content() -> dict[str, bytes]:
        files = [*tmp_path.glob("my.*/*"), *tmp_path.glob("my.*")]
        return {str(file): file.read_bytes() for file in files if file.is_file()}

    for title in ("first", "second"):
        cv.export(run, cv.exporters.create("card", title=title), path)
        assert [file.name for file in (tmp_path / "my.parts").iterdir()] == [f"{title}.txt"]
    before = content()

    def fails(source: Path, place: Path) -> None:
        if place == path and source.name == "model.card":
            raise OSError(28, "No space left on device")
        replace(source, place)

    replace = os.replace
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(errors.CellvisionError, match="No space left"):
        cv.export(run, cv.exporters.create("card", title="third"), path)
    assert content() == before
    assert not list(tmp_path.glob(".my*"))


def test_a_folder_beside_the_file_that_no_export_wrote_stays(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path
) -> None:
    install(isolated_registries)
    (tmp_path / "my.parts").mkdir()
    (tmp_path / "my.parts" / "notes.txt").touch()
    with pytest.raises(errors.FolderError, match=r"my\.parts: .* no earlier export"):
        cv.export(run, "card", tmp_path / "my.card")
    assert (tmp_path / "my.parts" / "notes.txt").exists()
    assert not (tmp_path / "my.card").exists()


FOLDER_EXPORTER = '''
"""An exporter that writes a folder."""
from typing import ClassVar

import cellvision as cv

class Box(cv.Exporter):
    """A folder with one file."""

    suffix: ClassVar[str] = "_box"
    writes_folder: ClassVar[bool] = True

    content: str = "first"
    """What the file says."""

    def export(self, run, folder):
        """Write it."""
        assert self.content != "none", "the conversion has started"
        path = folder / "model_box"
        path.mkdir()
        (path / f"{self.content}.txt").touch()
        return path

    def verify(self, run, folder):
        """Compare nothing."""
        return {"images": 0}
'''


def install_folder_exporter(isolation: Isolation) -> None:
    isolation.install("lab-box", {"exporter": {"box": "lab_box:Box"}}, {"lab_box": FOLDER_EXPORTER})


@pytest.mark.parametrize("out", [None, "boxes"])
def test_a_second_export_replaces_the_folder_of_the_first(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path, out: str | None
) -> None:
    install_folder_exporter(isolated_registries)
    target = None if out is None else tmp_path / out
    before = set(run.folder.iterdir()) if out is None else set()
    for content in ("first", "second"):
        path = cv.export(run, cv.exporters.create("box", content=content), target)
        assert [file.name for file in path.iterdir()] == [f"{content}.txt"]
    if out is None:
        written = {path, path.with_name(f"{path.name}.json")}
        assert set(run.folder.iterdir()) - before == written


@pytest.mark.parametrize("description", [None, "[]", '{"format": "other", "file": "model_box"}'])
def test_a_folder_that_no_export_wrote_is_refused_before_the_conversion(
    run: cv.Run, isolated_registries: Isolation, description: str | None
) -> None:
    install_folder_exporter(isolated_registries)
    (run.folder / "model_box").mkdir()
    (run.folder / "model_box" / "notes.txt").touch()
    if description is not None:
        (run.folder / "model_box.json").write_text(description)
    with pytest.raises(errors.FolderError, match="this one is not empty"):
        cv.export(run, cv.exporters.create("box", content="none"))
    assert [file.name for file in (run.folder / "model_box").iterdir()] == ["notes.txt"]


def test_a_folder_and_a_file_do_not_replace_each_other(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path
) -> None:
    install_folder_exporter(isolated_registries)
    install(isolated_registries)
    (run.folder / "model.card").mkdir()
    with pytest.raises(errors.FolderError, match="writes a file, and this is a folder"):
        cv.export(run, "card")
    (tmp_path / "file").touch()
    with pytest.raises(errors.FolderError, match="writes a folder, and this is a file"):
        cv.export(run, "box", tmp_path / "file")


def test_the_command_passes_settings(
    run: cv.Run,
    isolated_registries: Isolation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(isolated_registries)
    words = ["export", str(run.folder), "--format", "card"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--set", "title=from the command line"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == str(run.folder / "model.card")
    assert "from the command line" in (run.folder / "model.card").read_text()
    with pytest.raises(SystemExit) as end:
        main([*words, "--set", "colour=red"])
    assert end.value.code == 2
    assert "there is no setting 'colour'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("crad", "no exporter is called 'crad'", "Did you mean 'card'"),
        ("onnx", "cellvision-exporters provides it", "pip install --upgrade cellvision-exporters"),
    ],
)
def test_an_unknown_format_is_invalid_input(
    run: cv.Run, isolated_registries: Isolation, name: str, what: str, hint: str
) -> None:
    install(isolated_registries)
    with pytest.raises(errors.UnknownPlugin, match=what) as caught:
        cv.export(run, name)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            'return folder / "other.card"',
            r"card' \(lab-card 1.0\): export\(\) returned the path of other.card",
        ),
        ('return "model.card"', "returned the text 'model.card', not the path of model.card"),
        ('(folder / "stray").touch()', "wrote stray, a name that does not begin with model"),
        ("return None", "returned NoneType, not the path of model.card"),
        ("path.unlink()", r"export\(\) wrote no file model.card"),
        ("import sys; sys.exit(3)", r"export\(\) ends the process: SystemExit: 3"),
    ],
)
def test_a_broken_contract_writes_nothing(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path, fault: str, message: str
) -> None:
    install(isolated_registries, export=fault)
    with pytest.raises(errors.PluginContractError, match=message):
        cv.export(run, "card", tmp_path / "out" / "my.card")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_check_that_removes_the_export_writes_nothing(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path
) -> None:
    install(isolated_registries, verify='(folder / "model.card").unlink(); return {}')
    message = r"'card' \(lab-card 1.0\): verify\(\) or embed_description\(\) left no file"
    with pytest.raises(errors.PluginContractError, match=message):
        cv.export(run, "card", tmp_path / "out" / "my.card")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("returned", ["None", "3", "'compared'", "{'in': folder}"])
def test_an_exporter_must_say_what_it_compared(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path, returned: str
) -> None:
    install(isolated_registries, verify=f"return {returned}")
    with pytest.raises(errors.PluginContractError, match=r"'card' .*: verify\(\) returned"):
        cv.export(run, "card", tmp_path / "out" / "my.card")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("1 / 0", "failed: ZeroDivisionError: division by zero ("),
        ("import json as j; j.loads('x')", "failed: JSONDecodeError: Expecting value"),
        ("raise SystemExit", "export() ends the process: SystemExit"),
        ("raise errors.ConversionError('no ink', 'Buy some.')", "no ink"),
    ],
)
def test_a_fault_in_an_exporter_is_one_line(
    run: cv.Run,
    isolated_registries: Isolation,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    what: str,
) -> None:
    install(isolated_registries, export=fault)
    with pytest.raises(SystemExit) as end:
        main(["export", str(run.folder), "--format", "card"])
    assert end.value.code in (1, 2)
    first, hint = capsys.readouterr().err.splitlines()
    assert what in first
    assert hint.strip()
    assert not list(run.folder.glob("model.*card*"))


def test_a_missing_package_is_named_before_any_work(
    run: cv.Run, isolated_registries: Isolation, tmp_path: Path
) -> None:
    install(isolated_registries, packages='"no_such_module",')
    with pytest.raises(errors.InvalidInput, match="no-such-module, which is not installed"):
        cv.export(run, "card", tmp_path / "out" / "my.card")
    assert not (tmp_path / "out").exists()
    results = {r.check: r for r in check("exporter", "card")}
    assert results["exports_a_run"].outcome == "skipped"
    assert results["exports_a_run"].reason == "not installed: no_such_module"
    assert not any(result.outcome == "failed" for result in results.values())


def test_a_good_exporter_passes(isolated_registries: Isolation) -> None:
    install(isolated_registries)
    assert failures() == {}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("fault", "checks"),
    [
        ({"export": "raise RuntimeError('no ink')"}, {"exports_a_run"}),
        ({"export": 'return folder / "other"'}, {"exports_a_run"}),
        ({"export": '(folder / "stray").touch()'}, {"names_of_files"}),
        ({"export": '(run.folder / "x").touch()'}, {"writes_only_below_its_folder"}),
        ({"export": "import os; os.chdir(folder)"}, {"writes_only_below_its_folder"}),
        ({"verify": "return {}"}, {"verifies_its_export"}),
        ({"verify": "return {'path': folder}"}, {"verifies_its_export"}),
        ({"verify": "return {'n': 1}"}, {"notices_damage", "notices_other_probabilities"}),
    ],
)
def test_each_fault_fails_its_check(
    isolated_registries: Isolation, fault: dict[str, str], checks: set[str]
) -> None:
    install(isolated_registries, **fault)
    found = failures()
    assert set(found) == checks
    assert all(found.values())


def test_the_core_names_no_format() -> None:
    source = Path(cv.__file__).parent
    files = [source / "cli" / "export.py", source / "inference" / "export.py"]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    for word in ("openvino", "litert", "tflite", "saved_model", "tf2onnx"):
        assert word not in text
