"""The command line: exit codes, error messages, hints, and what it does not import."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from images import write_folder

import cellvision as cv
from cellvision import errors
from cellvision.backends.interrupts import kept_interrupts
from cellvision.cli import main

VERBS = [
    *("demo", "audit", "recipe", "train", "study", "label", "predict", "export", "report"),
    *("plugins", "evaluate"),
    *("check", "schema", "new-plugin", "migrate", "prepare"),
]
HEAVY = (
    *("keras", "tensorflow", "jax", "torch", "pandas", "matplotlib", "sklearn", "scipy"),
    *("distributed", "fsspec"),
)


@dataclass
class Output:
    code: int
    out: str
    err: str


class Command:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object) -> Output:
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        captured = self.capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Output(caught.value.code, captured.out, captured.err)

    def refused(self, *words: object, code: int = 2) -> list[str]:
        """Return the lines on standard error, after checking their form."""
        said = self(*words)
        assert said.code == code, said
        assert said.out == ""
        assert "Traceback" not in said.err
        lines = [line for line in said.err.splitlines() if line.strip()]
        assert lines[0].startswith("error: ")
        assert lines[-1].startswith("  ")
        assert len(lines) >= 2
        return lines


@pytest.fixture
def cellvision(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, "tensorflow" if "KERAS" in name else "3"))
    monkeypatch.setenv("COLUMNS", "200")
    handlers = logging.root.handlers[:]
    yield Command(capsys)
    logging.root.handlers[:] = handlers


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", {"a": 10, "b": 10})


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    root = write_folder(
        tmp_path / "leaking", {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2}
    )
    shutil.copy(root / "train/a/0.png", root / "test/a/copy.png")
    return root


# --- help and lists ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS), ["prepare", "slice"]])
def test_help(cellvision: Command, verb: list[str]) -> None:
    said = cellvision(*verb, "--help")
    assert said.code == 0
    assert said.err == ""
    assert " ".join(["Usage: cellvision", *verb]) in said.out
    assert cellvision(*verb, "-h") == said


def test_no_command_prints_help(cellvision: Command) -> None:
    for words in ([], ["prepare"]):
        said = cellvision(*words)
        assert (said.code, said.err) == (0, "")
        assert said.out.strip() == cellvision(*words, "--help").out.strip()
    assert all(verb in cellvision().out for verb in VERBS)


def test_version(cellvision: Command) -> None:
    assert cellvision("--version") == Output(0, "cellvision 0.1.0\n", "")


def test_plugins(cellvision: Command) -> None:
    said = cellvision("plugins", "--json")
    rows = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert all(
        list(row)
        == [
            *("group", "name", "distribution", "version", "status", "reason", "description"),
            "interface_version",
        ]
        for row in rows
    )
    assert {row["group"] for row in rows} == {
        f"cellvision.{kind}"
        for kind in (
            *("datasets", "augmenters", "architectures", "recipes"),
            *("splitters", "controls", "exporters", "reporters", "verbs"),
        )
    }
    assert "folder" in [row["name"] for row in rows]
    shown = cellvision("plugins").out
    assert all(row["name"] in shown for row in rows)


def test_a_core_without_plugins_says_how_to_get_them(
    cellvision: Command, images: Path, isolated_registries: object
) -> None:
    lines = cellvision.refused("audit", images)
    assert "this cellvision has no dataset plugins" in lines[0]
    assert "pip install 'cellvision[standard]'" in lines[1]


def test_a_broken_plugin_is_listed(
    cellvision: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "lab_broken-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-broken\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[cellvision.datasets]\nbroken_one = lab_gone:X\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = json.loads(cellvision("plugins", "--json").out)
    (row,) = [row for row in rows if row["name"] == "broken_one"]
    assert (row["distribution"], row["version"], row["status"]) == ("lab-broken", "0.3", "broken")
    assert "lab_gone" in row["reason"]
    assert "lab_gone" in cellvision("plugins").out
    assert "lab-broken" in cellvision.refused("audit", tmp_path, "--set", "dataset=broken_one")[0]


# --- audit -------------------------------------------------------------------------------


def test_audit(cellvision: Command, images: Path) -> None:
    said = cellvision("audit", images)
    assert said.code == 0
    assert "20 images read" in said.out
    assert "6 × 5 × 1  uint8, 8 bits per sample" in said.out
    report = json.loads(cellvision("audit", images, "--json").out)
    assert report == json.loads(json.dumps(cv.audit(images).to_json()))


def test_audit_of_strange_names(cellvision: Command, tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"[bold]µ": 3, "細胞": 3})
    said = cellvision("audit", root)
    assert said.code == 0
    assert "[bold]µ" in said.out
    assert "細胞" in said.out
    assert json.loads(cellvision("audit", root, "--json").out)["class_names"] == ["[bold]µ", "細胞"]


def test_audit_of_an_experiment_with_changes(
    cellvision: Command, images: Path, tmp_path: Path
) -> None:
    target = tmp_path / "experiment.toml"
    target.write_text('[dataset]\ntype = "folder"\npath = "images"\n[split]\nvalidation = 0\n')
    report = json.loads(cellvision("audit", target, "--set", "split.test=0.5", "--json").out)
    assert report["counts"] == {"train": {"a": 5, "b": 5}, "test": {"a": 5, "b": 5}}


def test_leak_is_refused_and_reported(cellvision: Command, leaking: Path) -> None:
    said = cellvision("audit", leaking, "--json")
    assert said.code == 3
    assert json.loads(said.out)["leaks"][0]["kind"] == "identical_pixels"
    assert "error: 1 leak between splits" in said.err
    assert "--set split.allow_leak=true" in said.err
    shown = cellvision("audit", leaking)
    assert shown.code == 3
    assert "images read" in shown.out


def test_an_audit_in_which_no_image_can_be_read_fails(
    cellvision: Command, images: Path, tmp_path: Path
) -> None:
    table = tmp_path / "elsewhere.csv"
    names = [path.relative_to(images).as_posix() for path in sorted(images.rglob("*.png"))]
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    table.write_text("\n".join(["file,label", *rows]) + "\n")
    said = cellvision("audit", table)
    assert said.code == 2
    assert f"error: none of {len(names)} images can be read" in said.err
    assert "set dataset.root" in " ".join(said.out.split())
    assert cellvision("audit", table, "--json").code == 2
    assert cellvision("audit", table, "--set", f"dataset.root={images}").code == 0


def test_unreadable_files_do_not_stop_an_audit(cellvision: Command, images: Path) -> None:
    (images / "a" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = cellvision("audit", images)
    assert said.code == 0
    assert "a/cut.png: " in said.out


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["audit", "train", "study"])
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("nowhere.toml", "nowhere.toml: No such file"),
        ("experiment.txt", "neither a folder nor an experiment file"),
        ("tabelle.csv", "lacks the columns file and label"),
        ("broken.toml", "not valid TOML"),
    ],
)
def test_sources_that_cannot_be_used(
    cellvision: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    source: str,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.txt").write_text("x")
    (tmp_path / "tabelle.csv").write_text("Datei;Klasse\na.png;x\n")
    (tmp_path / "broken.toml").write_text("[x")
    words = [] if verb == "audit" else ["--out", "out"]
    assert says in cellvision.refused(verb, source, *words)[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("dataset.type=foldr", "no dataset is called 'foldr'"),
        ("architecture=deeep", "no architecture is called 'deeep'"),
        ("reporters=[mlflow_]", "no reporter is called 'mlflow_'"),
        ("training.epochs=0", "training.epochs: "),
        ("training.epoch=1", "there is no setting 'training.epoch'"),
        ("training.epochs", "expected KEY=VALUE"),
        ("dataset.path=/nowhere/at/all", "/nowhere/at/all"),
        ("dataset.group=well", "dataset.group names 'well'"),
        ("dataset.classes=[a,x]", "names 'x'"),
    ],
)
def test_invalid_changes(cellvision: Command, images: Path, change: str, says: str) -> None:
    assert says in cellvision.refused("audit", images, "--set", change)[0]


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("preprocessing.size=64", "preprocessing.size", [64, 64]),
        ("preprocessing.size=48x64", "preprocessing.size", [48, 64]),
        ("preprocessing.channels=0", "preprocessing.channels", [0]),
        ("preprocessing.channels=0,2", "preprocessing.channels", [0, 2]),
        ("preprocessing.channels=gray", "preprocessing.channels", "gray"),
        ("augmenters=flip", "augmenters", ["flip"]),
        ('augmenters={type = "flip", vertical = true}', "augmenters.0.vertical", True),
        ('augmenters=[rotation, {type = "flip"}]', "augmenters.1.type", "flip"),
        ("architecture={type: resnet, depth: 2}", "architecture.depth", 2),
        ("reporters=tables,panel", "reporters", ["tables", "panel"]),
        ("dataset.classes=no", "dataset.classes", ["no"]),
    ],
)
def test_short_forms_of_settings_are_understood(
    images: Path, change: str, path: str, value: object
) -> None:
    from cellvision.cli import experiments

    setting: Any = experiments.settings(str(images), [change])
    for part in path.split("."):
        setting = setting[int(part)] if part.isdigit() else setting[part]
    assert setting == value


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--set", "channels=0"], "Write --set preprocessing.channels=0"),
        (["--set", "epochs=5"], "Write --set training.epochs=5"),
        (["--epochs", "5"], "Write it as a setting: --set training.epochs=5"),
        (["--epochs"], "Write it as a setting: --set training.epochs=..."),
        (["--batch-size=5"], "Write it as a setting: --set training.batch_size=5"),
        (["--classes", "[G1, S]"], "Write it as a setting: --set dataset.classes='[G1, S]'"),
    ],
)
def test_settings_without_their_section_get_the_exact_form(
    cellvision: Command, images: Path, words: list[str], hint: str
) -> None:
    assert cellvision.refused("audit", images, *words)[-1].strip() == hint


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        ("images.zip", "is an archive", "Unpack it"),
        ("plate.xlsx", "is a spreadsheet", "Save the sheet as CSV, with the columns file"),
        ("plate.nd2", "bioio reads .nd2 files", "cellvision-bioio[nd2]"),
        ("plate.czi", "bioio reads .czi files", "cellvision-bioio[czi]"),
        ("one.png", "neither a folder nor an experiment file", "contains the class folders"),
    ],
)
def test_files_that_are_no_folders(
    cellvision: Command, tmp_path: Path, name: str, says: str, hint: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    lines = cellvision.refused("audit", tmp_path / name)
    assert says in lines[0]
    assert hint in lines[1]


def test_the_nearest_path_is_suggested(cellvision: Command, images: Path) -> None:
    assert f"Did you mean {images}?" in cellvision.refused("audit", f"{images}s")[1]
    toml = images.parent / "first.toml"
    toml.write_text("")
    assert f"Did you mean {toml}?" in cellvision.refused("audit", images.parent / "frist.toml")[1]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000])
def test_deep_nesting_is_refused(cellvision: Command, images: Path, text: str) -> None:
    cellvision.refused("audit", images, "--set", f"augmenters={text}")


def test_failed_commands_leave_no_empty_folders(
    cellvision: Command, images: Path, tmp_path: Path
) -> None:
    (images / "a" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for verb in ("train", "study"):
        cellvision.refused(verb, images, "--out", tmp_path / "new" / "out")
        assert not (tmp_path / "new").exists()
    (tmp_path / "kept").mkdir()
    cellvision.refused("train", images, "--out", tmp_path / "kept")
    assert (tmp_path / "kept").is_dir()


def test_escape_sequences_of_names_do_not_reach_the_terminal(
    cellvision: Command, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "images", {"a\x1b[2J": 3, "[red]": 3})
    (root / "[red]" / "broken\x1b]0;title\x07.png").write_bytes(b"\x89PNG")
    output = cellvision("audit", root)
    assert output.code == 0
    assert "\x1b[2J" not in output.out
    assert "\x07" not in output.out + output.err
    assert "[red]" in output.out
    refused = cellvision("audit", f"{root}/a\x1b[31m")
    assert "\x1b" not in refused.err
    assert "\\x1b[31m" in refused.err


def test_a_matplotlib_backend_of_a_notebook_does_not_matter() -> None:
    program = """
import sys
from cellvision.cli import main
sys.argv[1:] = ["plugins"]
try:
    main()
except SystemExit:
    pass
import matplotlib.pyplot as plt
print(plt.get_backend())
"""
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = process("-c", program, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].lower() == "agg"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["audit"], "Missing argument 'EXPERIMENT_OR_FOLDER'"),
        (["audit", "x", "y"], "unexpected extra argument"),
        (["audit", "x", "--wild"], "No such option"),
        (["train", "x"], "Missing option '--out'"),
        (["study", "x", "--out", "y", "--runs", "many"], "Invalid value for '--runs'"),
        (["predict", "x"], "Missing argument"),
        (["evaluate", "x"], "Missing argument"),
        (["evaluate", "x", "y"], "Missing option '--out'"),
    ],
)
def test_unknown_words(cellvision: Command, words: list[str], says: str) -> None:
    lines = cellvision.refused(*words)
    assert says.lower() in lines[0].lower()
    assert "--help for its arguments" in lines[1]


def test_missing_runs(cellvision: Command, tmp_path: Path, images: Path) -> None:
    assert "no finished run here" in cellvision.refused("report", tmp_path)[0]
    missing = str(tmp_path / f"{images.name[:-1]}")
    what, hint = cellvision.refused("report", missing)
    assert what == f"error: {missing}: there is no such folder"
    assert hint.strip() == f"Did you mean {images}?" or images.parent != tmp_path
    for option in ("--export", "--returned"):
        what, _ = cellvision.refused("label", tmp_path / "x.sqlite", option, tmp_path / "a.csv")
        assert what == f"error: {tmp_path / 'x.sqlite'}: no such file or folder"
    out = tmp_path / "table.csv"
    for verb in ("predict", "evaluate"):
        cellvision.refused(verb, tmp_path / "x", images, "--out", out)
        assert not out.exists()


def test_training_on_a_leak_is_refused(cellvision: Command, leaking: Path, tmp_path: Path) -> None:
    lines = cellvision.refused("train", leaking, "--out", tmp_path / "run", code=3)
    assert "leak between splits" in lines[0]
    assert "'train/a/0.png'" in "".join(lines)


def test_unreadable_files_stop_a_training_with_all_of_them_listed(
    cellvision: Command, images: Path, tmp_path: Path
) -> None:
    for name in ("a/cut.png", "b/cut.png"):
        (images / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    (images / "b" / "empty.tif").write_bytes(b"")
    lines = cellvision.refused("train", images, "--out", tmp_path / "run")
    assert lines[0] == "error: 3 files cannot be read:"
    assert [line.strip().partition(":")[0] for line in lines[1:4]] == [
        *("a/cut.png", "b/cut.png", "b/empty.tif")
    ]
    assert "preprocessing.on_unreadable=skip" in lines[-1]


def test_a_cache_that_cannot_be_written(
    cellvision: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "file"))
    assert "CELLVISION_CACHE" in cellvision.refused("train", images, "--out", tmp_path / "r")[-1]


# --- failures ----------------------------------------------------------------------------


class Failing(cv.Dataset):
    fault: Any = None

    def catalog(self) -> Any:
        raise self.fault

    def read(self, image: str) -> Any:
        raise NotImplementedError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Make every experiment one whose data set raises."""
    from cellvision.cli import experiments

    cv.datasets.register("failing", Failing)

    def fail(fault: BaseException) -> str:
        experiment = cv.Experiment(dataset=Failing(fault=fault))
        monkeypatch.setattr(experiments, "read", lambda *_: experiment)
        return str(tmp_path)

    yield fail
    cv.datasets.unregister("failing")


def test_work_that_fails(cellvision: Command, failing: Any) -> None:
    lines = cellvision.refused("audit", failing(RuntimeError("no\nluck")), code=1)
    assert lines == [
        "error: dataset 'failing' (registered here) cannot list its images: RuntimeError: no",
        "  Run again with --debug for the traceback, and report it to the plugin's author unless a "
        "setting or a file explains it",
    ]


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("return json.loads('no json')", "JSONDecodeError: "),
        ("raise SystemExit(3)", "SystemExit: 3 "),
    ],
)
def test_a_fault_in_a_plugin_names_the_plugin(
    cellvision: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: Path,
    fault: str,
    what: str,
) -> None:
    monkeypatch.delitem(sys.modules, "lab_net", raising=False)
    (tmp_path / "lab_net.py").write_text(
        "import json\n"
        "import cellvision as cv\n"
        "class Net(cv.Architecture):\n"
        "    def build(self, input_shape, classes):\n"
        f"        {fault}\n"
    )
    info = tmp_path / "lab_net-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-net\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[cellvision.architectures]\nlab = lab_net:Net\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ("train", images, "--out", tmp_path / "run", "--set", "architecture=lab")
    lines = cellvision.refused(*words, "--set", "preprocessing.size=16", code=1)
    assert lines[0].startswith(f"error: architecture 'lab' (lab-net 0.3) failed: {what}")
    assert lines[0].endswith(f"({tmp_path / 'lab_net.py'}, line 5)")
    assert "plugin's author" in lines[1]
    assert not (tmp_path / "run").exists()


def test_only_our_own_faults_are_called_bugs(
    cellvision: Command, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("cellvision.cli.experiments.read_for_audit", fail)
    lines = cellvision.refused("audit", images, code=1)
    assert lines[1].strip() == "This is a bug. Run again with --debug and report the traceback."


def test_plugins_warns_of_misspelt_groups_and_other_versions(
    cellvision: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "lab_old-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lab-old\nVersion: 0.3\nRequires-Dist: cellvision>=7\n"
    )
    (info / "entry_points.txt").write_text(
        "[cellvision.reporters]\nlab_old = lab_gone:X\n[cellvision.reporter]\nlost = lab:Y\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = cellvision("plugins", "--json")
    assert "'lost' is in the unknown group cellvision.reporter. Did it mean" in said.err
    assert "lab-old: it needs cellvision >=7, and this is 0.1.0. Update it" in said.err
    assert json.loads(said.out)


def test_debug_shows_the_traceback(cellvision: Command, failing: Any) -> None:
    source = failing(RuntimeError("no luck"))
    for words in (["--debug", "audit", source], ["audit", source, "--debug"]):
        said = cellvision(*words)
        assert said.code == 1
        assert "Traceback" in said.err
        assert "raise self.fault" in said.err
        assert "error: dataset 'failing' (registered here)" in said.err


def test_debug_keeps_the_exit_code(cellvision: Command) -> None:
    refused = cellvision("audit", "nowhere", "--debug")
    assert refused.code == 2
    assert "Traceback" in refused.err


def test_an_interruption(cellvision: Command, failing: Any) -> None:
    assert cellvision("audit", failing(KeyboardInterrupt())) == Output(
        130, "", "error: interrupted\n"
    )


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (errors.CellvisionError("the work failed", "Try again"), "the work failed"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (OSError(28, "No space left on device", "/data/x"), "/data/x: No space left on device"),
    ],
)
def test_whatever_goes_wrong_is_two_lines(
    cellvision: Command, images: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, says: str
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr("cellvision.cli.experiments.read_for_audit", fail)
    lines = cellvision.refused("audit", images, code=1)
    assert lines[0] == f"error: {says}"
    assert len(lines) == 2


# --- new processes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("train", "IMAGES", "--out", "OUT"),
        ("study", "IMAGES", "--out", "OUT"),
        ("predict", "RUN", "IMAGES", "--out", "OUT.csv"),
        ("evaluate", "RUN", "IMAGES", "--out", "OUT"),
        ("export", "RUN", "--format", "onnx"),
        ("report", "RUN"),
        ("demo", "--out", "OUT"),
    ],
)
@pytest.mark.parametrize(
    ("backend", "reason"),
    [("tortch", "cannot train"), ("torch", "cannot train"), ("jax", "is not installed")],
)
def test_a_backend_that_is_missing_or_unsupported_is_refused_before_anything_is_read(
    words: tuple[str, ...],
    backend: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "jax" else find_spec(name)
    )
    monkeypatch.chdir(tmp_path)  # where neither run nor images exist
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert f"error: KERAS_BACKEND is {backend!r}, which {reason}" in message
    assert "tensorflow or jax" in message
    assert list(tmp_path.iterdir()) == []


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, **options
    )


RUN = "import sys; from cellvision.cli import main; main(sys.argv[1:])"


def imported(*words: str) -> set[str]:
    """Run Python and tell which heavy packages that imported."""
    done = process("-X", "importtime", *words)
    assert done.returncode == 0, done.stderr
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cellvision" in modules
    return modules & set(HEAVY)


def test_importing_is_light() -> None:
    assert imported("-c", "import cellvision") == set()


def test_help_is_light() -> None:
    assert imported("-c", RUN, "--help") == set()
    assert imported("-c", RUN, "train", "--help") == set()


def test_making_a_component_is_light() -> None:
    program = "import cellvision as cv; cv.datasets.create('folder', path='x')"
    assert imported("-c", program) & {"keras", "tensorflow", "jax", "torch"} == set()


def test_listing_plugins_is_light() -> None:
    assert imported("-c", RUN, "plugins") & {"keras", "tensorflow", "jax", "torch"} == set()


def test_exit_codes_of_processes(leaking: Path) -> None:
    # Without a validation split to carve, scikit-learn need not be imported.
    done = process("-c", RUN, "audit", str(leaking), "--json", "--set", "split.validation=0")
    assert done.returncode == 3
    assert json.loads(done.stdout)["leaks"]
    gone = process("-c", RUN, "audit", "nowhere")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert gone.stderr == (
        "error: nowhere: no such file or folder\n  Give a folder of images or an experiment file.\n"
    )


INTERRUPTED = """
import os, signal, sys

module = sys.argv.pop()

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from cellvision_command import main
main()
"""


@pytest.mark.parametrize("importing", ["cellvision", "cellvision.cli", "cellvision.cli.app"])
def test_an_interrupt_during_the_start_gives_no_traceback(importing: str) -> None:
    done = process("-c", INTERRUPTED, "plugins", importing)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_the_installed_command_is_the_one_that_ends_quietly() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="cellvision")
    assert command.value == "cellvision_command:main"


def test_closed_pipe_ends_quietly() -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", RUN, "plugins", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    stderr = command.stderr.read()
    assert command.wait() == 0
    assert stderr == b""
    command.stderr.close()


# What a command does is replaced, so that the start of a process is all that takes time.
REPLACED = """
import sys
from cellvision import cli
from cellvision.cli import app

def command():
    {}

app.command = command
cli.main(["plugins"])
"""


def test_a_progress_that_nobody_reads_is_no_success() -> None:
    progress = "print('epoch 1/9', file=sys.stderr, flush=True)"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", REPLACED.format(progress)], stderr=writer, check=False
    )
    os.close(writer)
    assert done.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes streams")
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Native libraries would print their messages into it."""
    path = tmp_path / "answers.db"
    work = f"file = open({str(path)!r}, 'w'); file.write(str(file.fileno())); sys.stderr.write('x')"
    shell = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-']
    subprocess.run([*shell, sys.executable, "-c", REPLACED.format(work)], check=False)
    assert int(path.read_text()) > 2


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_that_end_a_process_are_treated_like_an_interrupt(name: str, ignored: bool) -> None:
    work = f"import os, signal; os.kill(os.getpid(), signal.{name}); print('work')"
    prelude = f"import signal; signal.signal(signal.{name}, signal.SIG_IGN)\n" if ignored else ""
    done = process("-c", prelude + REPLACED.format(work))
    if ignored:  # as by nohup; this command does nothing more, so its result does not matter
        assert done.stdout == "work\n"
    else:
        assert (done.returncode, done.stdout) == (130, "")
        ended = "" if name == "SIGINT" else f"  ended by {name}\n"
        assert done.stderr == "error: interrupted\n" + ended


STARTS = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow.python.keras" or name.startswith("jax."):
            os.kill(os.getpid(), signal.{name})

def command():
    from cellvision.backends.startup import start_backend
    sys.meta_path.insert(0, Interrupt())
    start_backend()
    print("started")

from cellvision import cli
from cellvision.cli import app
app.command = command
cli.main(["plugins"])
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_while_the_backend_starts_shows_none_of_its_messages(name: str) -> None:
    done = process("-c", STARTS.format(name=name))
    assert (done.returncode, done.stdout) == (130, "")
    ended = "" if name == "SIGINT" else f"  ended by {name}\n"
    assert done.stderr == "error: interrupted\n" + ended


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("turned_into", ["pass", "raise ImportError from None"])
def test_an_interrupt_that_an_imported_module_swallows_is_kept(turned_into: str) -> None:
    code = f"""
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    {turned_into}
"""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), kept_interrupts():
        exec(code)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_that_a_library_turns_into_another_error_is_an_interrupt() -> None:
    work = """import os, signal
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError('initialization failed') from None"""
    done = process("-c", REPLACED.format(work))
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_running_out_of_memory_is_said_plainly() -> None:
    done = process("-c", REPLACED.format("raise MemoryError"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: out of memory\n  Use smaller images")


def test_warnings_follow_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A caller may replace standard error between two commands, and close the old one."""
    from cellvision.cli import _WarningHandler

    handler = _WarningHandler()
    handler.written.clear()
    record = logging.makeLogRecord({"msg": "many cells", "levelno": logging.WARNING})
    with contextlib.redirect_stderr(io.StringIO()) as first:
        handler.emit(record)
    assert first.getvalue() == "warning: many cells\n"
    first.close()
    handler.emit(logging.makeLogRecord({"msg": "few cells", "levelno": logging.WARNING}))
    handler.emit(record)
    assert capsys.readouterr().err == "warning: few cells\n", "the first warning is not repeated"


@pytest.mark.exhaustive
def test_terminal_without_unicode(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"train/細胞": 2, "train/b": 2})
    light = ["--set", "split.validation=0"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = process("-c", RUN, "audit", str(root), *light, env=environment)
    assert done.returncode == 0, done.stderr
    result = process("-c", RUN, "audit", str(root), *light, "--json", env=environment)
    assert json.loads(result.stdout)["class_names"] == ["b", "細胞"]
