"""Numbering in place and undoing it: kills at random moments, links, two processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prepare_folders import entangled, manifest, tree

from cellvision import errors, prepare

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")

DIE = textwrap.dedent("""
    import os, signal, sys
    from cellvision import prepare
    def work(folder, moment, verb):
        count = 0
        def hook(event, arguments):
            nonlocal count
            if event in ("open", "os.rename", "os.remove") and folder in str(arguments):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        prepare.undo_numbering(folder) if verb == "undo" else (
            prepare.number_images(folder, in_place=True))
        return count
    for line in sys.stdin:
        folder, moment, verb = line.rstrip().split("|")
        if (child := os.fork()) == 0:
            os._exit(work(folder, int(moment), verb))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
""")
"""Works in a child process that kills itself before its n-th file operation (0: never).

Prints how the child ended: -9 if killed, otherwise the number of its file operations.
"""

FORWARDS, BACKWARDS = 33, 22
"""Number of file operations to number the entangled names, and to undo it."""


Die = Callable[..., int]


@pytest.fixture(scope="module")
def die() -> Iterator[Die]:
    """Return a function that numbers a folder, or undoes it, and dies at a chosen moment."""
    process = subprocess.Popen(
        [sys.executable, "-c", DIE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def work(folder: Path, moment: int, verb: str = "number") -> int:
        process.stdin.write(f"{folder}|{moment}|{verb}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield work
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


def copies(folder: Path) -> tuple[Path, dict[str, str], dict[str, str]]:
    """Write the entangled names; return the folder, and its trees before and after numbering."""
    entangled(folder)
    before = tree(folder)
    numbered = folder.parent / "numbered"
    entangled(numbered)
    prepare.number_images(numbered, in_place=True)
    return folder, before, tree(numbered)


KILLS = int(os.environ.get("CELLVISION_KILLS", "5"))
SEED = int(os.environ.get("CELLVISION_KILL_SEED", "0"))
"""How often numbering is killed, and the first seed of the moments; 40 were run by hand."""


@pytest.mark.parametrize("seed", range(SEED, SEED + KILLS))
def test_killed_at_a_random_moment(tmp_path: Path, die: Die, seed: int) -> None:
    """Kill numbering, then finish it or kill the undoing, then finish that: no name is lost."""
    rng = random.Random(seed)
    folder, before, after = copies(tmp_path / "images")
    assert die(folder, rng.randint(1, FORWARDS)) == -9
    if rng.random() < 0.3:
        prepare.number_images(folder, in_place=True)
        assert tree(folder) == after
    if (folder / ".number.json").exists() or (folder / ".numbered.json").exists():
        die(folder, rng.randint(1, BACKWARDS), "undo")
        if (folder / ".number.json").exists() or (folder / ".numbered.json").exists():
            prepare.undo_numbering(folder)
    assert tree(folder) == before
    assert [path.name for path in folder.rglob(".number*")] == []
    prepare.number_images(folder, in_place=True)
    assert tree(folder) == after


def test_the_moments_cover_all_file_operations(tmp_path: Path, die: Die) -> None:
    folder, before, after = copies(tmp_path / "images")
    assert die(folder, 0) == FORWARDS
    assert tree(folder) == after
    assert die(folder, 0, "undo") == BACKWARDS
    assert tree(folder) == before


def test_undo_restores_names_tables_and_the_work_record(fields: Path, tmp_path: Path) -> None:
    tiles = tmp_path / "tiles"
    table = prepare.slice_images(fields, tiles, tiles=4)
    before = tree(tiles)
    numbered = prepare.number_images(tiles, in_place=True)
    restored = prepare.undo_numbering(tiles)
    assert list(restored["file"]) == list(table["file"])
    assert list(restored["numbered"]) == list(numbered["file"])
    assert tree(tiles) == before
    assert prepare.slice_images(fields, tiles, tiles=4).equals(table), (
        "the work record is restored too"
    )
    with pytest.raises(errors.FolderError, match="nothing to undo"):
        prepare.undo_numbering(tiles)


def test_undo_removes_a_manifest_only_if_there_was_none(fields: Path) -> None:
    before = tree(fields)
    prepare.number_images(fields, in_place=True)
    assert "manifest.csv" in tree(fields)
    prepare.undo_numbering(fields)
    assert tree(fields) == before


def test_undo_checks_all_files_before_the_first_rename(fields: Path) -> None:
    prepare.number_images(fields, in_place=True)
    numbered = tree(fields)
    (fields / "control" / "a1.tif").write_bytes(b"a new image under the old name")
    with pytest.raises(errors.FolderError, match=r"a1\.tif exists"):
        prepare.undo_numbering(fields)
    (fields / "control" / "a1.tif").unlink()
    groups = (fields / "groups.csv").read_text()
    (fields / "groups.csv").write_text(groups + "\n")
    with pytest.raises(errors.FolderError, match=r"groups\.csv was edited"):
        prepare.undo_numbering(fields)
    (fields / "groups.csv").write_text(groups)
    (fields / "control" / "s0.tif").write_bytes(b"another image")
    with pytest.raises(errors.FolderError, match="not the image that was numbered"):
        prepare.undo_numbering(fields)
    (fields / "control" / "s0.tif").unlink()
    assert {name: digest for name, digest in numbered.items() if name != "control/s0.tif"} == tree(
        fields
    )
    with pytest.warns(prepare.PrepareWarning, match=r"1 image.* removed .* control/a1\.tif"):
        prepare.undo_numbering(fields)
    assert {"control/a2.tif", "treated/b9.tif", "treated/b10.tif"} < set(tree(fields))


def test_undo_after_an_image_disappeared(fields: Path) -> None:
    def remove(count: int, total: int) -> None:
        if count == 1:
            (fields / "treated" / "b10.tif").unlink()

    with pytest.raises(errors.CellvisionError, match="restore the old names with --undo"):
        prepare.number_images(fields, in_place=True, progress=remove)
    with pytest.warns(prepare.PrepareWarning, match=r"removed .* treated/b10\.tif"):
        prepare.undo_numbering(fields)
    assert "control/a1.tif" in tree(fields)
    assert not (fields / ".number.json").exists()


def test_an_interrupted_undo_must_be_finished_first(fields: Path) -> None:
    prepare.number_images(fields, in_place=True)

    def interrupt(count: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.undo_numbering(fields, progress=interrupt)
    with pytest.raises(errors.FolderError, match="undoing a numbering was interrupted"):
        prepare.number_images(fields, in_place=True)
    with pytest.raises(errors.FolderError, match="--undo"):
        prepare.slice_images(fields, fields.parent / "tiles", tiles=4)
    prepare.undo_numbering(fields)
    assert "control/a1.tif" in tree(fields)


# Links


def test_hard_links(tmp_path: Path) -> None:
    """Hard links are separate images: all names change, and undo restores them."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"one")
    os.link(folder / "a.png", folder / "b.png")
    os.link(folder / "a.png", folder / "s0.png")
    prepare.number_images(folder, in_place=True)
    assert set(tree(folder)) == {"s0.png", "s1.png", "s2.png", "manifest.csv"}
    prepare.undo_numbering(folder)
    assert set(tree(folder)) == {"a.png", "b.png", "s0.png"}


@pytest.mark.parametrize("where", ["inside", "outside", "file"])
def test_images_with_two_paths_are_refused_before_the_first_rename(
    fields: Path, tmp_path: Path, where: str
) -> None:
    if where == "inside":
        (fields / "linked").symlink_to(fields / "control", target_is_directory=True)
    elif where == "outside":
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "x.png").write_bytes(b"x")
        (fields / "linked").symlink_to(tmp_path / "other", target_is_directory=True)
    else:
        (fields / "control" / "link.tif").symlink_to("a1.tif")
    before = tree(fields)
    with pytest.raises(errors.FolderError, match="is a link"):
        prepare.number_images(fields, in_place=True)
    assert tree(fields) == before
    assert list(fields.rglob(".number*")) == []


def test_a_link_to_a_file_outside_is_renamed_not_its_target(fields: Path, tmp_path: Path) -> None:
    (tmp_path / "far.tif").write_bytes(b"far")
    (fields / "control" / "zz.tif").symlink_to(tmp_path / "far.tif")
    prepare.number_images(fields, in_place=True)
    assert (fields / "control" / "s2.tif").readlink() == tmp_path / "far.tif"
    assert (tmp_path / "far.tif").read_bytes() == b"far"


def test_names_that_differ_only_in_case_conflict(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "S0.png").write_bytes(b"image")
    try:
        (folder / "s0.png").mkdir()
    except FileExistsError:  # no conflict on file systems that ignore case
        prepare.number_images(folder, in_place=True)
        assert (folder / "s0.png").read_bytes() == b"image"
        return
    with pytest.raises(errors.FolderError, match=r"s0\.png exists"):
        prepare.number_images(folder, in_place=True)
    assert (folder / "S0.png").read_bytes() == b"image"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root ignores permissions")
def test_read_only_folders_are_refused_before_the_first_rename(fields: Path) -> None:
    (fields / "treated").chmod(0o500)
    try:
        with pytest.raises(errors.FolderError, match="read-only"):
            prepare.number_images(fields, in_place=True)
    finally:
        (fields / "treated").chmod(0o700)
    assert "control/a1.tif" in tree(fields)


# Two processes

RUN = "import sys; from cellvision.cli import main; print('go', flush=True); main(sys.argv[1:])"


def run_together(*commands: list[str]) -> list[tuple[int, str]]:
    """Run commands at the same time; return the exit code and standard error of each."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    return [(p.returncode, output[1]) for p, output in zip(processes, outputs, strict=True)]


def test_two_numberings_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(300):
        (folder / f"cell{index}.png").write_bytes(str(index).encode())
    command = ["prepare", "number", str(folder), "--in-place"]
    results = run_together(command, command)
    assert sorted(code for code, _ in results) in ([0, 0], [0, 2]), results
    assert all("in use by: prepare number" in text for code, text in results if code)
    names = {path.name for path in folder.glob("*.png")}
    assert names == {f"s{index}.png" for index in range(300)}, "a hidden name remains"
    assert not (folder / ".number.json").exists()
    rows = manifest(folder)
    assert {(folder / r["file"]).read_text() for r in rows} == {str(i) for i in range(300)}


def test_two_slices_into_one_folder(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["prepare", "slice", str(fields), "--out", str(out), "--tiles", "16"]
    results = run_together(command, command)
    assert sorted(code for code, _ in results)[0] == 0, results
    assert all("in use by: prepare slice" in text for code, text in results if code)
    assert {code for code, _ in results} <= {0, 2}
    prepare.slice_images(fields, tmp_path / "alone", tiles=16)
    assert tree(out) == tree(tmp_path / "alone")


def test_a_numbering_above_or_below_is_refused(fields: Path) -> None:
    def interrupt(count: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.number_images(fields / "control", in_place=True, progress=interrupt)
    before = tree(fields)
    for folder in (fields, fields / "treated" / ".." / "control"):
        with pytest.raises(errors.FolderError, match="was interrupted here"):
            prepare.number_images(folder, in_place=True, start=3)
    assert tree(fields) == before
    prepare.undo_numbering(fields / "control")
    with pytest.raises(KeyboardInterrupt):
        prepare.number_images(fields, in_place=True, prefix="t", progress=interrupt)
    with pytest.raises(errors.FolderError, match="was interrupted here"):
        prepare.number_images(fields / "treated", in_place=True)
    assert json.loads((fields / ".number.json").read_text())["phase"] == "hide"
