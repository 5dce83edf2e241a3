"""Records written by another user are refused, and the error names them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepare_folders import tree
from pydantic import ValidationError

from cellvision import errors, prepare
from cellvision.prepare.records import Output, WorkHead, WorkLine
from cellvision.prepare.rename_plan import RenameRecord

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")

Change = Callable[[dict], object]


def interrupt(count: int, total: int) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(fields: Path) -> Path:
    """A folder whose numbering was interrupted, beside a file that must not change."""
    with pytest.raises(KeyboardInterrupt):
        prepare.number_images(fields, in_place=True, progress=interrupt)
    (fields.parent / "victim").write_text("precious")
    return fields


def rewrite(path: Path, change: Change) -> None:
    """Change a record as another user would, signed with another key."""
    content = json.loads(path.read_text())
    change(content)
    content["signature"] = secrets.token_hex(32)
    path.write_text(json.dumps(content))


OUTSIDE = ["../victim", "/etc/victim", "control/../../victim", "a//b.tif", "./a.tif", "", "a\0.tif"]
HOSTILE: dict[str, Change] = {
    **{
        f"{key} {name!r}": lambda c, key=key, name=name: c["renames"][0].update({key: name})
        for key in ("before", "hidden", "after")
        for name in OUTSIDE
    },
    "table outside": lambda c: c["tables"].update({"../victim": {"before": None, "after": "x"}}),
    "table absolute": lambda c: c["tables"].update({"/tmp/victim": {"before": None, "after": "x"}}),
    "another table": lambda c: c["tables"].update({".bashrc": {"before": None, "after": "x"}}),
    "another hidden name": lambda c: c["renames"][0].update(hidden="control/.bashrc"),
    "another suffix": lambda c: c["renames"][0].update(after="control/s0.sh"),
    "not an image": lambda c: c["renames"][0].update(before="control/setup.py"),
    "another folder": lambda c: c["renames"][0].update(after="treated/s9.tif"),
    "two of one name": lambda c: c["renames"].append(c["renames"][0]),
    "unknown key": lambda c: c.update(run="rm -rf ~"),
    "unknown phase": lambda c: c.update(phase="delete"),
    "old version": lambda c: c.update(version=1),
    "no token": lambda c: c.update(token=""),
    "wrong type": lambda c: c.update(renames={"a": "b"}),
    "nothing wrong": lambda c: None,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_foreign_numbering_is_not_carried_out(interrupted: Path, case: str) -> None:
    rewrite(interrupted / ".number.json", HOSTILE[case])
    files, outside = tree(interrupted), tree(interrupted.parent)
    hidden = sorted(path.name for path in interrupted.rglob(".number-*"))
    for work in (
        lambda: prepare.number_images(interrupted, in_place=True),
        lambda: prepare.undo_numbering(interrupted),
        lambda: prepare.slice_images(interrupted, interrupted.parent / "out", tiles=4),
        lambda: prepare.raise_if_unfinished(interrupted),
        lambda: prepare.raise_if_unfinished(interrupted / "control"),
    ):
        with pytest.raises(errors.FolderError) as caught:
            work()
        assert str(interrupted / ".number.json") in caught.value.what
        assert "--in-place" not in caught.value.hint, "the hint must not suggest finishing it"
    assert tree(interrupted) == files
    assert tree(interrupted.parent) == outside
    assert sorted(path.name for path in interrupted.rglob(".number-*")) == hidden


@pytest.mark.parametrize("case", [case for case in HOSTILE if case != "nothing wrong"])
def test_a_trusted_record_is_still_validated(interrupted: Path, case: str) -> None:
    rewrite(interrupted / ".number.json", HOSTILE[case])
    before = tree(interrupted.parent)
    with pytest.raises(errors.FolderError, match="is not a record that"):
        prepare.undo_numbering(interrupted, trust_record=True)
    with pytest.raises(errors.FolderError, match="is not a record that"):
        prepare.number_images(interrupted, in_place=True, trust_record=True)
    assert tree(interrupted.parent) == before


def test_a_valid_record_of_another_user_can_be_trusted(interrupted: Path) -> None:
    rewrite(interrupted / ".number.json", HOSTILE["nothing wrong"])
    with pytest.raises(errors.FolderError, match="another user or on another computer"):
        prepare.number_images(interrupted, in_place=True)
    assert len(prepare.number_images(interrupted, in_place=True, trust_record=True)) == 4


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", "{", "\xff", "1" * 5000, '{"a": ' * 99]
)
def test_invalid_records_are_refused(fields: Path, content: str) -> None:
    (fields / ".number.json").write_text(content, encoding="latin-1")
    for work in (
        lambda: prepare.number_images(fields, in_place=True),
        lambda: prepare.raise_if_unfinished(fields),
    ):
        with pytest.raises(errors.FolderError, match=r"\.number\.json is not a record that"):
            work()


def test_a_record_that_is_a_link_is_not_followed(interrupted: Path, tmp_path: Path) -> None:
    (interrupted / ".number.json").rename(tmp_path / "moved.json")
    (interrupted / ".number.json").symlink_to(tmp_path / "moved.json")
    with pytest.raises(errors.FolderError, match="it is a link"):
        prepare.number_images(interrupted, in_place=True)


def test_a_class_that_became_a_link_is_not_followed(interrupted: Path, tmp_path: Path) -> None:
    (interrupted / "control").rename(tmp_path / "elsewhere")
    (interrupted / "control").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    before = tree(tmp_path)
    with pytest.raises(errors.FolderError, match="control is a link"):
        prepare.number_images(interrupted, in_place=True)
    assert tree(tmp_path) == before


def test_a_moved_folder_can_be_finished(interrupted: Path, tmp_path: Path) -> None:
    interrupted.rename(tmp_path / "moved")
    with pytest.raises(errors.FolderError) as caught:
        prepare.raise_if_unfinished(tmp_path / "moved" / "control")
    assert f"prepare number {tmp_path / 'moved'} --in-place" in caught.value.hint
    assert "--undo" in caught.value.hint
    assert len(prepare.number_images(tmp_path / "moved", in_place=True)) == 4


def test_the_signature_depends_on_the_state_folder(interrupted: Path, tmp_path: Path) -> None:
    program = "import sys; from cellvision.cli import main; main(sys.argv[1:])"
    result = subprocess.run(
        [sys.executable, "-c", program, "prepare", "number", interrupted, "--in-place"],
        env=os.environ | {"CELLVISION_STATE": str(tmp_path / "other")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "--trust-record" in result.stderr


# .prepare.jsonl


@pytest.fixture
def half_sliced(fields: Path, tmp_path: Path) -> Path:
    """An output folder whose slicing was interrupted after one source."""

    def stop(count: int, total: int) -> None:
        if count == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.slice_images(fields, tmp_path / "out", tiles=4, progress=stop)
    return tmp_path / "out"


@pytest.mark.parametrize(
    "name", [*OUTSIDE, "control/a1_r00_c00.sh", "control/.bashrc", "control/other_r00_c00.tif"]
)
def test_names_in_a_work_record_are_validated(fields: Path, half_sliced: Path, name: str) -> None:
    head, line = (half_sliced / ".prepare.jsonl").read_text().split("\n")[:2]
    content = json.loads(line)
    content["outputs"][0]["file"] = name
    (half_sliced / ".prepare.jsonl").write_text(f"{head}\n{json.dumps(content)}\n")
    with pytest.raises(errors.FolderError, match=r"\.prepare\.jsonl is not a record that"):
        prepare.slice_images(fields, half_sliced, tiles=4)


def test_a_foreign_work_record_is_not_resumed(fields: Path, half_sliced: Path) -> None:
    head, *lines = (half_sliced / ".prepare.jsonl").read_text().split("\n")
    content = json.loads(head) | {"signature": secrets.token_hex(32)}
    (half_sliced / ".prepare.jsonl").write_text("\n".join([json.dumps(content), *lines]))
    with pytest.raises(errors.FolderError, match="another user or on another computer"):
        prepare.slice_images(fields, half_sliced, tiles=4)
    with pytest.raises(errors.FolderError, match="another user or on another computer") as caught:
        prepare.raise_if_unfinished(half_sliced)
    assert "again" not in caught.value.hint


def test_a_work_record_of_this_user_is_resumed(fields: Path, half_sliced: Path) -> None:
    with pytest.raises(errors.FolderError, match="not finished") as caught:
        prepare.raise_if_unfinished(half_sliced)
    assert "'cellvision prepare slice' command again" in caught.value.hint
    assert len(prepare.slice_images(fields, half_sliced, tiles=4)) == 16
    prepare.raise_if_unfinished(half_sliced)


def test_an_output_folder_with_a_link_out_of_it_is_refused(
    fields: Path, half_sliced: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(half_sliced / "treated", ignore_errors=True)
    (half_sliced / "treated").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(errors.FolderError, match="a link that leads out"):
        prepare.slice_images(fields, half_sliced, tiles=4)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_removing_the_record_meanwhile_is_an_error(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def remove(count: int, total: int) -> None:
        if count == total:
            (out / ".prepare.jsonl").unlink()

    with pytest.raises(errors.FolderError, match="removed or replaced"):
        prepare.slice_images(fields, out, tiles=4, progress=remove)
    assert not (out / "manifest.csv").exists()


# The schema

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(text)
def test_accepted_names_stay_below_their_folder(name: str) -> None:
    try:
        output = Output(file=name, transformation="")
    except ValidationError:
        parts = name.split("/")
        assert not name or "\0" in name or {"", ".", ".."} & set(parts)
    else:
        assert Path("/data", output.file).is_relative_to("/data")
        assert os.path.normpath(f"/data/{name}") == f"/data/{name}"


@given(text, text, st.dictionaries(text, text, max_size=2), st.lists(text, max_size=2))
def test_lines_survive_serialisation(
    name: str, step: str, columns: dict[str, str], notes: list[str]
) -> None:
    name = "a" + name.replace("/", "").replace("\0", "")
    output = Output(file=name, transformation=step, columns=columns)
    line = WorkLine(source=name, target=name, size=1, mtime_ns=2, outputs=[output], notes=notes)
    written = line.model_dump_json()
    assert "\n" not in written
    assert WorkLine.model_validate_json(written) == line
    assert line.is_consistent


@given(text, st.dictionaries(text, st.none() | st.integers() | text, max_size=3))
def test_any_change_breaks_the_signature(change: str, parameters: dict[str, object]) -> None:
    head = WorkHead(verb="slice", parameters=parameters).signed()
    assert WorkHead.model_validate_json(head.model_dump_json()).is_ours
    assert not head.model_copy(update={"verb": "slicer"}).is_ours
    assert not head.model_copy(update={"token": secrets.token_hex(16)}).is_ours
    assert head.model_copy(update={"signature": change}).is_ours == (change == head.signature)
    other = RenameRecord(prefix="s", start=0, renames=[], tables={}, had_work_record=False)
    assert not other.model_copy(update={"signature": head.signature}).is_ours
