"""New plugins: what is rendered is complete and clean, and nothing is overwritten.

Their own tests run in ``.ci/generated-plugins``, in an environment that knows wheels only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from python_path import python_path

from cellvision import errors
from cellvision.cli import main
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS, KNOWN_VERBS
from cellvision.new_plugin import render
from cellvision.testing import Isolation

KINDS = (
    *("architecture", "augmenter", "control", "dataset"),
    *("exporter", "recipe", "splitter", "reporter"),
)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One of each kind, installed by hand: a .dist-info folder beside the package."""
    out = tmp_path_factory.mktemp("rendered")
    folders = [render(f"tiny_{kind}", kind, out) for kind in KINDS]
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        metadata = ["Metadata-Version: 2.1", f"Name: {project['name']}", "Version: 0.1.0"]
        metadata += [f"Requires-Dist: {each}" for each in project["dependencies"]]
        points = [
            line
            for group, names in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{name} = {to}" for name, to in names.items()))
        ]
        information = folder / "src" / f"{project['name'].replace('-', '_')}-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("\n".join(metadata) + "\n")
        (information / "entry_points.txt").write_text("\n".join(points) + "\n")
    return folders


def within(rendered: list[Path], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": python_path(*(folder / "src" for folder in rendered))},
        cwd=rendered[0].parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_are_listed(rendered: list[Path]) -> None:
    code = "from cellvision.cli import main; main(['plugins', '--json'])"
    done = within(rendered, "-c", code)
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    for kind in KINDS:
        assert entries[f"tiny_{kind}"]["status"] == "ok"
        assert entries[f"tiny_{kind}"]["group"] == f"cellvision.{kind}s"
        assert entries[f"tiny_{kind}"]["distribution"] == f"cellvision-tiny-{kind}"


def test_their_style_is_clean(rendered: list[Path]) -> None:
    if shutil.which("ruff", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("ruff is not installed: python -m pip install ruff")
    for words in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = within(rendered, "-m", "ruff", *words, *map(str, rendered))
        assert done.returncode == 0, done.stdout


@pytest.mark.exhaustive
def test_their_types_hold(rendered: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: python -m pip install mypy")
    settings = str(rendered[0] / "pyproject.toml")
    sources = [str(next((folder / "src").glob("*/py.typed")).parent) for folder in rendered]
    sources += [str(test) for folder in rendered for test in (folder / "tests").glob("*.py")]
    done = within(
        rendered, "-m", "mypy", "--config-file", settings, "--cache-dir", str(tmp_path), *sources
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_all_files_exist(kind: str, tmp_path: Path) -> None:
    folder = render("tiny", kind, tmp_path)
    assert folder == tmp_path / "cellvision-tiny"
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files >= {
        "pyproject.toml",
        "README.md",
        ".gitignore",
        ".github/workflows/test.yml",
        "src/cellvision_tiny/__init__.py",
        "src/cellvision_tiny/py.typed",
        "src/cellvision_tiny/tiny.py",
        "tests/test_tiny.py",
    }
    text = "".join(file.read_text() for file in folder.rglob("*") if file.is_file())
    assert "{%" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["cellvision-tiny"]


def test_one_of_several_at_once_creates_the_folder(tmp_path: Path) -> None:
    def attempt(_: int) -> str:
        try:
            render("tiny", "dataset", tmp_path)
        except errors.FolderError as error:
            return error.what
        return "created"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(attempt, range(8)))
    assert said.count("created") == 1
    assert said.count(f"{tmp_path / 'cellvision-tiny'} exists already") == 7


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = render("tiny", "dataset", tmp_path)
    (folder / "README.md").write_text("mine")
    with pytest.raises(errors.FolderError, match="exists already"):
        render("tiny", "dataset", tmp_path)
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", "Tiny", "tiny-net", "1tiny", "class", "tiny net", "../tiny", "_tiny", "tiny__net"]
)
def test_invalid_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="is not a valid name"):
        render(name, "architecture", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "kind"), [("deep", "architecture"), ("html", "reporter"), ("datasets", "reporter")]
)
def test_taken_names(name: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(errors.PluginConflict, match="already"):
        render(name, kind, tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "distribution"),
    [
        ("bioio", "dataset", "cellvision-bioio"),
        ("mlflow", "reporter", "cellvision-tracking"),
        ("resnet", "architecture", "cellvision-architectures"),
    ],
)
def test_names_of_known_distributions_that_are_not_installed(
    name: str,
    kind: str,
    distribution: str,
    tmp_path: Path,
    isolated_registries: Isolation,
) -> None:
    with pytest.raises(errors.PluginConflict, match=f"{distribution} already provides") as caught:
        render(name, kind, tmp_path)
    assert f"pip install {distribution}" in caught.value.hint
    assert not (tmp_path / f"cellvision-{name}").exists()


def test_the_known_distributions_are_those_of_this_project() -> None:
    plugins = Path(__file__).parents[1] / "plugins"
    provided: dict[str, dict[str, set[str]]] = {}
    for file in plugins.glob("*/pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        for group, names in project["entry-points"].items():
            provided.setdefault(group, {})[project["name"]] = set(names)
    known = {
        group: {distribution: set(names) for distribution, names in distributions.items()}
        for group, distributions in KNOWN_DISTRIBUTIONS.items()
    }
    verbs = {name: d for d, names in provided.pop("cellvision.verbs").items() for name in names}
    assert verbs == KNOWN_VERBS
    assert provided == known


def test_a_known_name_of_another_kind_is_free(
    tmp_path: Path, isolated_registries: Isolation
) -> None:
    assert render("curves", "augmenter", tmp_path).is_dir()


def test_a_name_that_the_example_uses_itself(tmp_path: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="already has a meaning"):
        render("path", "dataset", tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["new-plugin", "tiny_net", "--kind", "architecture", "--out", str(tmp_path)]
    for code, expected in ((0, "cellvision-tiny-net"), (2, "")):
        with pytest.raises(SystemExit) as done:
            main(words)
        assert (done.value.code or 0) == code
        said = capsys.readouterr()
        assert expected in said.out
    assert "exists already" in said.err


def test_an_unknown_kind_is_answered_by_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["new-plugin", "tiny_net", "--kind", "decoder"])
    assert done.value.code == 2
    message = capsys.readouterr().err
    assert "error: Invalid value for '--kind': 'decoder' is not one of" in message
    assert "'splitter'" in message


def test_the_tutorial_shows_what_is_rendered(tmp_path: Path) -> None:
    names = (
        "tiny_net",
        "tiny_factor",
        "tiny_edge",
        "tiny_arrays",
        "tiny_export",
        "tiny_recipe",
        "tiny_folds",
        "surest",
    )
    code = ""
    for name, kind in zip(names, KINDS, strict=True):
        folder = render(name, kind, tmp_path)
        code += "".join(file.read_text(encoding="utf-8") for file in folder.rglob("*.py"))
    page = Path(__file__).parents[1] / "docs" / "tutorial" / "plugin.md"
    pattern = re.compile(r"^(% not run: [^\n]+\n)?```python\n(.*?)^```$", re.M | re.S)
    found = pattern.findall(page.read_text(encoding="utf-8"))
    blocks = [block for not_run, block in found if not not_run]
    assert len(blocks) == 11
    for block in blocks:
        assert block in code, block
