"""What all verbs of `prepare` share: provenance, restarts, refusals."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from prepare_folders import noise, tree

from cellvision import errors, prepare

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")


def test_the_field_survives_every_step(fields: Path, tmp_path: Path) -> None:
    prepare.slice_images(fields, tmp_path / "1", grid=(2, 2))
    prepare.number_images(tmp_path / "1", tmp_path / "2")
    table = prepare.rotate_images(tmp_path / "2", tmp_path / "3", angles=[18, 36])
    assert len(table) == 32
    assert set(table["field"]) == {"control/a1", "control/a2", "treated/b9", "treated/b10"}
    last = table.iloc[-1]
    assert last["file"] == "treated/s7_rot36.tif"
    assert last["source"] == "treated/s7.tif"
    assert last["field"] == "treated/b10"
    assert last["transformation"] == "slice r=1 c=1 y=20 x=30 h=20 w=30; number 7; rotate 36"
    assert last["well"] == "C02"


class KilledError(Exception):
    pass


@pytest.mark.parametrize("verb", ["slice", "rotate", "number"])
def test_an_interrupted_run_resumes_to_the_same_result(
    fields: Path, tmp_path: Path, verb: str
) -> None:
    def work(out: Path, progress: Callable[[int, int], None] | None = None) -> None:
        if verb == "slice":
            prepare.slice_images(fields, out, tiles=4, progress=progress)
        elif verb == "rotate":
            prepare.rotate_images(fields, out, angles=[5, 90], progress=progress)
        else:
            prepare.number_images(fields, out, progress=progress)

    work(tmp_path / "whole")
    expected = tree(tmp_path / "whole")
    for moment in range(5):
        out = tmp_path / f"out{moment}"

        def kill(done: int, total: int, moment: int = moment) -> None:
            if done == moment:
                raise KilledError

        with pytest.raises(KilledError):
            work(out, kill)
        assert not (out / "manifest.csv").exists()
        with pytest.raises(errors.FolderError, match="not finished"):
            prepare.number_images(out, tmp_path / "other")
        seen: list[tuple[int, int]] = []
        work(out, lambda done, total, seen=seen: seen.append((done, total)))
        assert seen[0] == (moment, 4), "what was finished is not made again"
        assert seen[-1] == (4, 4)
        assert tree(out) == expected


def test_killed_by_the_system(fields: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, signal, sys
        from cellvision import prepare
        def die(done, total):
            if done == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        prepare.slice_images(sys.argv[1], sys.argv[2], tiles=4, progress=die)
    """)
    out = tmp_path / "out"
    ended = subprocess.run([sys.executable, "-c", program, fields, out], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (out / "manifest.csv").exists()
    # As if it had died inside a write, and in the middle of a line of its record.
    left_over = out / "control" / ".a1_r00_c00.0123456789ab.tif"
    left_over.parent.mkdir(parents=True, exist_ok=True)
    left_over.write_bytes(b"half")
    with (out / ".prepare.jsonl").open("a") as record:
        record.write('{"source": "treated/b1')
    prepare.slice_images(fields, out, tiles=4)
    prepare.slice_images(fields, tmp_path / "whole", tiles=4)
    assert tree(out) == tree(tmp_path / "whole")
    assert not left_over.exists()


def test_lost_results_are_made_again(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.slice_images(fields, out, tiles=4)
    expected = tree(out)
    (out / "control" / "a1_r00_c01.tif").unlink()
    prepare.slice_images(fields, out, tiles=4)
    assert tree(out) == expected


def test_unreadable_images_are_listed_after_the_others_are_finished(
    fields: Path, tmp_path: Path
) -> None:
    for name in ("bad1.tif", "bad2.png"):
        (fields / "control" / name).write_bytes(b"no image")
    with pytest.raises(errors.UnreadableImages) as caught:
        prepare.slice_images(fields, tmp_path / "out", tiles=4)
    assert [Path(fault.file).name for fault in caught.value.faults] == ["bad1.tif", "bad2.png"]
    assert caught.value.exit_code == 2
    assert "preprocessing" not in str(caught.value)
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 16
    assert not (tmp_path / "out" / "manifest.csv").exists()
    for name in ("bad1.tif", "bad2.png"):
        (fields / "control" / name).unlink()
    assert len(prepare.slice_images(fields, tmp_path / "out", tiles=4)) == 16


def test_a_part_of_a_prepared_folder_keeps_its_provenance(fields: Path, tmp_path: Path) -> None:
    prepare.slice_images(fields, tmp_path / "tiles", tiles=4)
    turned = prepare.rotate_images(tmp_path / "tiles" / "control", tmp_path / "c", angles=[5, -5])
    assert set(turned["field"]) == {"control/a1", "control/a2"}
    assert set(turned["well"]) == {"B02", "B03"}
    one = tmp_path / "tiles" / "treated" / "b9_r00_c01.tif"
    turned = prepare.rotate_images(one, tmp_path / "t", angles=[90])
    assert list(turned["field"]) == ["treated/b9"]
    assert list(turned["transformation"]) == ["slice r=0 c=1 y=0 x=30 h=20 w=30; rotate 90"]
    # A table further up that is of something else is none of their business.
    (fields.parent / "groups.csv").write_text("name\nx\n")
    (fields / "groups.csv").unlink()
    assert len(prepare.slice_images(fields, tmp_path / "out", tiles=4)) == 16


def test_a_folder_begun_with_other_settings_is_refused(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.slice_images(fields, out, tiles=4)
    with pytest.raises(errors.FolderError, match=r"slice tiles=4 .* not with slice tiles=9"):
        prepare.slice_images(fields, out, tiles=9)
    with pytest.raises(errors.FolderError, match="not with rotate"):
        prepare.rotate_images(fields, out, angles=[1])
    tifffile.imwrite(fields / "control" / "a1.tif", noise(40, 60))
    with pytest.raises(errors.FolderError, match=r"control/a1.tif changed"):
        prepare.slice_images(fields, out, tiles=4)


def test_settings_without_outputs_may_be_corrected(fields: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match=r"control/a1.tif: a tile of 99x9 is larger"):
        prepare.slice_images(fields, tmp_path / "out", size=(99, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(prepare.slice_images(fields, tmp_path / "out", size=(20, 20))) == 24


def test_stray_images_are_refused(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.slice_images(fields, out, tiles=4)
    tifffile.imwrite(out / "control" / "stray.tif", noise(4, 4))
    with pytest.raises(errors.FolderError, match=r"control/stray.tif"):
        prepare.slice_images(fields, out, tiles=4)


def test_unusable_folders_are_refused(fields: Path, tmp_path: Path) -> None:
    empty, taken = tmp_path / "empty", tmp_path / "taken"
    empty.mkdir()
    taken.mkdir()
    (taken / "thesis.tex").write_text("precious")
    cases = [
        (tmp_path / "absent", tmp_path / "out", "does not exist"),
        (empty, tmp_path / "out", "holds no image"),
        (fields, fields, "lies in the source"),
        (fields, fields / "tiles", "lies in the source"),
        (fields, taken, "not empty"),
        (fields, tmp_path, "not empty"),
        (fields, taken / "thesis.tex", "is a file"),
    ]
    for source, out, message in cases:
        with pytest.raises(errors.FolderError, match=message):
            prepare.number_images(source, out)
    with pytest.raises(errors.FolderError, match="is a file"):
        prepare.number_images(fields / "control" / "a1.tif", in_place=True)
    assert [path.name for path in taken.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,well\na,b\n", "no column 'file'; its columns are: name, well"),
        ("File;Well;Day\na;b;c\n", "did you mean 'File'.*: File, Well, Day"),
        ("file,well,well\na,b,c\n", "every column once"),
        ("file,well\ncontrol/a1.tif\n", "line 2: 1 values for 2 columns"),
        ("file,well\ncontrol/a1.tif,a\ncontrol\\a1.tif,b\n", "line 3: control/a1.tif again"),
        ('file,well\ncontrol/a1.tif,"a\n', "not a CSV table"),
    ],
)
def test_invalid_tables_are_refused(fields: Path, tmp_path: Path, table: str, message: str) -> None:
    (fields / "groups.csv").write_text(table)
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.slice_images(fields, tmp_path / "out", tiles=4)


def test_contradicting_tables_are_refused(fields: Path, tmp_path: Path) -> None:
    (fields / "manifest.csv").write_text("file,field,well\ncontrol/a1.tif,one,Z99\n")
    with pytest.raises(errors.InvalidInput, match=r"well=Z99 in manifest.csv and well=B02"):
        prepare.slice_images(fields, tmp_path / "out", tiles=4)
    (fields / "manifest.csv").write_text("file,field,day\ncontrol/a1.tif,one,3\n")
    table = prepare.slice_images(fields, tmp_path / "out", tiles=1)
    assert list(table["field"]) == ["one", "control/a2", "treated/b9", "treated/b10"]
    assert list(table["well"]) == ["B02", "B03", "C03", "C02"]
    assert list(table["day"]) == ["3", "", "", ""]
