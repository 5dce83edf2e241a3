"""The commands, code and examples in the documentation work as written."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import pkgutil
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cellvision as cv
from cellvision import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

# The line before a block that does not run states why, unless the block installs packages.
BLOCK = re.compile(
    r"^(?:% not run: (?P<why>[^\n]+)\n+)?```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S
)
SHELL = re.compile(r"[|><*;&$]")


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    skipped: bool


def blocks(page: str) -> Iterator[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        skipped = match["why"] is not None or "pip install" in match["body"]
        yield Block(match["kind"].strip(), match["body"], skipped)


def how_to_pages() -> list[str]:
    """Return the how-to pages with blocks that run."""
    pages = sorted(page.relative_to(DOCS).as_posix() for page in (DOCS / "howto").glob("*.md"))
    # A separate test runs this page with fewer images.
    pages.remove("howto/prepare.md")
    return [
        page
        for page in pages
        if any(
            block.kind in ("python", "console", "sh") and not block.skipped
            for block in blocks(page)
        )
    ]


def run_page(page: str, folder: Path) -> int:
    """Run the blocks of a page in a folder; return how many ran."""
    count = 0
    with contextlib.chdir(folder):
        for block in blocks(page):
            if block.skipped:
                continue
            if block.kind == "python":
                exec(compile(block.body, f"docs/{page}", "exec"), {"__name__": "docs"})
            elif block.kind in ("console", "sh"):
                for line in block.body.splitlines():
                    if block.kind == "sh" or line.startswith("$ "):
                        run_command(line.removeprefix("$ "))
            elif block.kind.startswith("{code-block}"):
                write_file(block.body)
            else:
                continue
            count += 1
    return count


def run_command(line: str) -> None:
    """Run a command line, in this process if it starts with cellvision."""
    words = shlex.split(line)
    if words[0] == "cellvision" and not SHELL.search(line):
        # Importing keras once saves time.
        with pytest.raises(SystemExit) as end:
            cli.main(words[1:])
        assert end.value.code == 0, line
    else:
        subprocess.run(["bash", "-euc", line], check=True, capture_output=True)


def write_file(body: str) -> None:
    """Write the file named in a block's caption, with one epoch and the fastest reporter."""
    caption, _, content = body.partition("\n")
    content = re.sub(r"^epochs = \d+$", "epochs = 1", content, flags=re.M)
    Path(caption.removeprefix(":caption: ")).write_text(
        'reporters = ["tables"]\n' + content, encoding="utf-8"
    )


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tutorial_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the tutorial was run."""
    folder = tmp_path_factory.mktemp("tutorial")
    assert run_page("tutorial/own-folder.md", folder) >= 8
    return folder


@pytest.mark.exhaustive
def test_the_tutorial_writes_its_results(tutorial_folder: Path) -> None:
    names = {path.relative_to(tutorial_folder).as_posix() for path in tutorial_folder.glob("*/*")}
    assert {"runs/first", "studies/first", "images/manifest.csv"} <= names
    assert len((tutorial_folder / "new.csv").read_text().splitlines()) == 17


@pytest.mark.exhaustive
@pytest.mark.parametrize("page", how_to_pages())
def test_how_to_pages_run_after_the_tutorial(
    page: str, tutorial_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tutorial_folder, tmp_path, dirs_exist_ok=True)
    assert run_page(page, tmp_path) >= 1


@pytest.mark.exhaustive
def test_the_ten_steps_write_the_files_on_their_page(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "ten_steps.py"))
    with pytest.warns(cv.prepare.PrepareWarning):
        study = script["ten_steps"](tmp_path, script["QUICK"])
    page = (DOCS / "tutorial" / "ten-steps.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:images|run|study)/[^`]+)`", page)
    assert [name for name in named if not (tmp_path / name).is_file()] == []
    run = study.runs[1]
    assert set(run.test_splits) == {"plate_2", "low_dose"}
    assert set(study.table["run"]) == {"000", "001"}
    # Three sets of two classes; all tiles and copies of a source image are in one split.
    splits = run.predictions.groupby("group")["split"].nunique()
    assert len(splits) == 3 * 2 * script["QUICK"].source_images
    assert set(splits) == {1}


def test_the_prepare_page_runs(tmp_path: Path) -> None:
    cells = cv.datasets.create("synthetic_cells", fields=1, field_size=64)
    cells.write_fields(tmp_path / "fields")
    with pytest.warns(cv.prepare.PrepareWarning):
        assert run_page("howto/prepare.md", tmp_path) >= 1
    assert (tmp_path / "series" / "manifest.csv").is_file()


@pytest.mark.exhaustive
def test_the_example_of_the_python_page_runs(tutorial_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tutorial_folder / "images", tmp_path / "images")
    assert run_page("reference/api.md", tmp_path) == 1
    assert cv.load_run(tmp_path / "runs" / "python").metadata.seed == 0


def test_every_public_name_is_on_the_python_page() -> None:
    text = "\n".join((DOCS / "reference" / f"{page}.md").read_text() for page in ("api", "errors"))
    listed = set(re.findall(r"auto(?:class|function|data):: (\w+)$", text, re.M))
    listed |= set(re.findall(r"automodule:: cellvision\.(\w+)$", text, re.M))
    assert set(cv.__all__) - listed == set()


def test_the_readme_starts_with_two_commands() -> None:
    first, second = re.findall(
        r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S
    )[:2]
    assert first.strip() == "python -m pip install . plugins/*/ && cellvision demo"
    assert (
        second.strip() == "python -m pip install '.[test]' plugins/*/ && python -m pytest -n auto"
    )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_local_links_exist(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_no_telltale_wording() -> None:
    """No file has wording that docs/style.md replaces."""
    script = runpy.run_path(str(ROOT / "scripts" / "telltale.py"))
    roots = [ROOT / name for name in (*script["FOLDERS"], *script["FILES"])]
    files = script["prose"]([root for root in roots if root.exists()])
    assert len(files) > 300
    matches = [
        f"{path.relative_to(ROOT)}:{line}: {wording}"
        for path, line, wording, _ in script["matches"](files)
    ]
    assert matches == []


def test_the_telltale_check_finds_wording(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "It resumes.\nIt is gone on with.\nMend it.\nThey are told apart.\n"  # telltale: allow
        "gone on with <!-- telltale: allow -->\n"
    )
    script = runpy.run_path(str(ROOT / "scripts" / "telltale.py"))
    matches = [(line, wording) for _, line, wording, _ in script["matches"]([page])]
    assert matches == [(2, "gone on with"), (3, "Mend")]  # telltale: allow


PACKAGES = (
    "cellvision",
    "cellvision_augmenters",
    "cellvision_controls",
    "cellvision_datasets",
    "cellvision_exporters",
    "cellvision_recipes",
    "cellvision_reporters",
    "cellvision_splitters",
)


def modules() -> list[str]:
    # Examples of cellvision_architectures build large networks; the tests of that package run them.
    return [
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        )
        if not module.name.endswith(("tensorflow_only", "__main__"))
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_examples_in_docstrings_run(tmp_path: Path) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    with contextlib.chdir(tmp_path):
        for name in modules():
            module = importlib.import_module(name)
            for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
                runner.run(example, out=sys.stderr.write)
    results = runner.summarize(verbose=False)
    assert results.failed == 0
    assert results.attempted > 50
