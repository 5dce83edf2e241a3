"""Running reporters: what they may return, and that none of them can spoil another's work."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import Artifact, Run, cli, errors
from cellvision.progress import Display
from cellvision.results.artifacts import ReportsRecord, read_reports
from cellvision.results.following_reporters import FollowingReporters
from cellvision.results.reporting import make_reports
from cellvision.testing.examples import example_audit, example_study


class Scripted(cv.Reporter):
    """Does what the test tells it to do."""

    number: int = 0
    action: ClassVar[Callable[[Run, Path], Any]]

    def run(self, run: Run, folder: Path) -> Any:
        return type(self).action(run, folder)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        if epoch == 2:
            os.chdir("/")
            sys.exit(3)


class Plain(cv.Reporter):
    """Writes one file, and an auxiliary one."""

    text: str = "plain"

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        (folder / "plain").mkdir(exist_ok=True)
        (folder / "plain" / "cache.txt").write_text(self.text)
        path = folder / f"plain_{self.text}.txt"
        path.write_text(self.text)
        order: Any = np.int64(600)  # as computed
        return [Artifact(path, "Plain", "data", order=order)]


@pytest.fixture(autouse=True)
def _reporters() -> Iterator[None]:
    cv.reporters.register("scripted", Scripted)
    cv.reporters.register("plain", Plain)
    yield
    cv.reporters.unregister("scripted")
    cv.reporters.unregister("plain")


def report(run: Run, *selected: cv.Reporter) -> list[str]:
    """Report, and return the faults."""
    return [fault.what for fault in make_reports(run, selected, Display())[1]]


def scripted(action: Callable[[Run, Path], Any]) -> Scripted:
    Scripted.action = staticmethod(action)  # type: ignore[assignment]
    return Scripted()


def write(folder: Path, name: str, text: str = "x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_artifacts_are_recorded_with_settings_and_read_back(example_run: Run) -> None:
    artifacts, faults = make_reports(example_run, [Plain(text="a")], Display())
    assert faults == []
    assert [each.path for each in artifacts] == [example_run.folder / "reports" / "plain_a.txt"]
    assert example_run.artifacts == tuple(artifacts)
    (entry,) = cv.load_run(example_run.folder).reports
    assert entry.reporter == "plain"
    assert entry.settings == {"type": "plain", "text": "a"}
    assert set(entry.files) == {"plain_a.txt", "plain/cache.txt"}
    content = json.loads((example_run.folder / "reports" / "artifacts.json").read_text())
    assert content["schema"] == 1
    assert ReportsRecord.model_validate(content).reporters == (entry,)


def test_reporting_again_replaces_only_the_reporters_own_entries(example_run: Run) -> None:
    other = scripted(lambda run, folder: [Artifact(write(folder, "s.txt"), "S", "data", order=1)])
    assert report(example_run, Plain(text="a"), other) == []
    assert report(example_run, Plain(text="b")) == []
    reports = example_run.folder / "reports"
    assert [each.title for each in example_run.artifacts] == ["S", "Plain"]
    assert not (reports / "plain_a.txt").exists()
    assert (reports / "plain_b.txt").read_text() == "b"
    assert (reports / "plain" / "cache.txt").read_text() == "b"
    assert sorted(path.name for path in reports.iterdir()) == [
        *("artifacts.json", "plain", "plain_b.txt", "s.txt")
    ]


def test_a_reporter_finds_its_own_earlier_files_only(example_run: Run) -> None:
    seen: list[list[str]] = []

    def look(run: Run, folder: Path) -> Sequence[Artifact]:
        seen.append(sorted(path.name for path in folder.rglob("*") if path.is_file()))
        return [Artifact(write(folder, "mine.txt"), "Mine", "data")]

    assert report(example_run, Plain(), scripted(look)) == []
    assert report(example_run, scripted(look)) == []
    assert seen == [[], ["mine.txt"]]


def test_two_reporters_of_one_name_keep_both_reports(example_run: Run) -> None:
    assert report(example_run, Plain(text="a"), Plain(text="b")) != []  # they share a file
    assert [each.path.name for each in example_run.artifacts] == ["plain_a.txt", "plain_b.txt"]


WRONG: dict[str, tuple[Callable[[Run, Path], Any], str]] = {
    "a string": (lambda run, folder: "report.txt", "it returned str, not a list"),
    "a path": (lambda run, folder: [write(folder, "a.txt")], "which is not an Artifact"),
    "None": (lambda run, folder: None, "it returned NoneType"),
    "a missing file": (
        lambda run, folder: [Artifact(folder / "no.txt", "No", "data")],
        "which does not exist",
    ),
    "outside": (
        lambda run, folder: [Artifact(run.folder / "run.json", "Run", "data")],
        "which is outside its folder",
    ),
    "unknown kind": (
        lambda run, folder: [Artifact(write(folder, "a.txt"), "A", "film")],  # type: ignore[arg-type]
        "kind 'film'",
    ),
    "no title": (
        lambda run, folder: [Artifact(write(folder, "a.txt"), "", "text")],
        "an artifact with the title ''",
    ),
    "an order that is no number": (
        lambda run, folder: [Artifact(write(folder, "a.txt"), "A", "text", "", None)],  # type: ignore[arg-type]
        "order None",
    ),
    "a relative path": (
        lambda run, folder: [Artifact(Path(write(folder, "a.txt").name), "A", "text")],
        "a.txt, which does not exist",
    ),
    "sys.exit": (lambda run, folder: sys.exit(3), "it called sys.exit(3)"),
    "an error": (lambda run, folder: 1 / 0, "ZeroDivisionError"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_fault_costs_only_the_reporter_that_has_it(kind: str, example_run: Run) -> None:
    action, message = WRONG[kind]
    (fault,) = report(example_run, scripted(action), Plain())
    assert fault.startswith("reporter 'scripted' (registered here) failed: ")
    assert message in fault
    assert [each.title for each in example_run.artifacts] == ["Plain"]
    (entry,) = [each for each in example_run.reports if each.reporter == "scripted"]
    assert message in entry.fault
    assert report(example_run, scripted(lambda run, folder: [])) == []
    assert all(each.reporter != "scripted" for each in example_run.reports)


@pytest.mark.parametrize(
    ("kind", "cure"),
    [
        ("a relative path", "return its whole path: folder / name, then: cellvision report "),
        ("unknown kind", "Choose one of figure, table"),
        ("an error", "Its author can find the fault with --debug, then: cellvision report "),
    ],
)
def test_a_fault_of_a_reporter_has_its_cure(kind: str, cure: str, example_run: Run) -> None:
    faults = make_reports(example_run, [scripted(WRONG[kind][0])], Display())[1]
    (hint,) = [fault.hint for fault in faults]
    assert hint.startswith("The results are safe. ")
    assert cure in hint


def test_a_reporter_cannot_change_the_figures_and_numbers_of_others(example_run: Run) -> None:
    import matplotlib

    size, division = matplotlib.rcParams["font.size"], np.geterr()

    def change(run: Run, folder: Path) -> list[Artifact]:
        matplotlib.rcParams["font.size"] = 40
        np.seterr(all="raise")
        return []

    assert report(example_run, scripted(change)) == []
    assert (matplotlib.rcParams["font.size"], np.geterr()) == (size, division)


def test_a_failed_report_keeps_the_earlier_one(example_run: Run) -> None:
    good = scripted(lambda run, folder: [Artifact(write(folder, "s.txt", "good"), "S", "data")])
    assert report(example_run, good) == []

    def fail(run: Run, folder: Path) -> Sequence[Artifact]:
        raise RuntimeError("no ink")

    assert len(report(example_run, scripted(fail))) == 1
    (artifact,) = example_run.artifacts
    assert artifact.path.read_text() == "good"


def test_a_reporter_cannot_overwrite_or_remove_files_of_others(example_run: Run) -> None:
    reports, record = example_run.folder / "reports", example_run.folder / "run.json"
    before = record.read_bytes()

    def same_name(run: Run, folder: Path) -> Sequence[Artifact]:
        return [Artifact(write(folder, "plain_plain.txt", "stolen"), "Stolen", "data")]

    (fault,) = report(example_run, Plain(), scripted(same_name))
    assert "it wrote 'plain_plain.txt', which belongs to 'plain'" in fault
    assert (reports / "plain_plain.txt").read_text() == "plain"

    def around(run: Run, folder: Path) -> Sequence[Artifact]:
        (run.folder / "reports" / "plain_plain.txt").unlink()
        (run.folder / "reports" / "plain" / "cache.txt").write_text("spoilt, and longer")
        (run.folder / "run.json").write_text("{}")
        return []

    (fault,) = report(example_run, scripted(around))
    assert "the file was restored" in fault
    assert (reports / "plain_plain.txt").read_text() == "plain"
    assert (reports / "plain" / "cache.txt").read_text() == "plain"
    assert record.read_bytes() == before


def test_the_command_names_every_reporter_that_fails(
    example_run: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(cv.Reporter):
        """Fails, too."""

        def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
            raise RuntimeError("no paper")

    def fail(run: Run, folder: Path) -> Sequence[Artifact]:
        raise RuntimeError("no ink")

    scripted(fail)
    cv.reporters.register("broken", Broken)
    try:
        names = ["--reporter", "scripted", "--reporter", "plain", "--reporter", "broken"]
        with pytest.raises(SystemExit) as end:
            cli.main(["report", str(example_run.folder), "--allow-network", *names])
    finally:
        cv.reporters.unregister("broken")
    assert end.value.code == 1
    output, messages = capsys.readouterr()
    assert "plain_plain.txt" in output
    assert "no ink" in messages
    assert "reporter 'broken' (registered here) failed: RuntimeError: no paper" in caplog.messages


@tiny.on_offer()
def test_a_full_disk_ends_commands_with_an_error_after_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(run: Run, folder: Path) -> Sequence[Artifact]:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / "page.html"))
        except OSError as error:
            raise RuntimeError("the page is lost") from error

    scripted(fill)
    images, out = tiny.make_folder(tmp_path / "images"), tmp_path / "out"
    experiment = tmp_path / "experiment.json"
    cv.save_experiment(
        tiny.experiment(images, epochs=1, reporters=(Scripted(), Plain())), experiment
    )

    def run(*words: str) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([*words])
        assert end.value.code == 1
        return capsys.readouterr()

    output, messages = run("train", str(experiment), "--out", str(out / "run"))
    assert "Guessing at random" in output
    assert "error: reporter 'scripted' (registered here) failed" in messages
    assert f"The results in {out / 'run'} are complete." in messages
    assert f"cellvision report {out / 'run'}" in messages
    assert [each.title for each in cv.load_run(out / "run").artifacts] == ["Plain"]
    run("report", str(out / "run"), "--allow-network")
    with pytest.raises(errors.ReportError) as caught:
        cv.train(cv.load_experiment(experiment), out / "again")
    assert caught.value.finished.folder == out / "again"
    Scripted.study = lambda self, study, folder: fill(study, folder)  # type: ignore[method-assign]
    try:
        words = ("--runs", "1", "--workers", "1", "--out", str(out / "study"))
        output, messages = run("study", str(experiment), *words)
    finally:
        del Scripted.study
    assert "accuracy" in output
    assert f"cellvision report {out / 'study'}" in messages


def test_a_disk_too_full_for_copies_of_the_results_is_named(
    example_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cellvision.results.report_folder.tempfile.mkdtemp", full)
    _, (fault,) = make_reports(example_run, [Plain()], Display())
    assert isinstance(fault, errors.ReportError)
    assert "reports cannot be written: No space left on device" in fault.what


def test_a_folder_without_permission_is_one_error(
    example_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # Permissions alone do not stop an administrator, who may run these tests.
    monkeypatch.setattr("cellvision.results.reporting.tempfile.TemporaryFile", forbidden)
    _, faults = make_reports(example_run, [Plain(), Scripted()], Display())
    assert [type(fault) for fault in faults] == [errors.ReportError]
    assert "reports cannot be written: Permission denied" in faults[0].what
    assert "cellvision report" in faults[0].hint


def test_a_large_file_is_restored_or_named(example_run: Run) -> None:
    large = example_run.folder / "large.bin"

    def write_large() -> None:
        with large.open("wb") as file:
            file.truncate(65 * 2**20)

    def remove(run: Run, folder: Path) -> Sequence[Artifact]:
        (run.folder / "large.bin").unlink()
        return []

    def change(run: Run, folder: Path) -> Sequence[Artifact]:
        with (run.folder / "large.bin").open("r+b") as file:
            file.truncate(70 * 2**20)
        raise RuntimeError("no ink")

    write_large()
    faults = make_reports(example_run, [scripted(remove)], Display())[1]
    assert "'large.bin', which it does not own; the file was restored" in faults[0].what
    assert faults[0].hint.startswith("The results are safe. ")
    assert large.stat().st_size == 65 * 2**20
    faults = make_reports(example_run, [scripted(change)], Display())[1]
    assert "it changed or removed 'large.bin'" in faults[0].what
    assert "was not restored" in faults[0].what
    assert "safe" not in faults[0].hint
    assert not list((example_run.folder / "reports").glob(".*"))


def test_a_reporter_cannot_change_what_others_see(example_run: Run) -> None:
    tables = example_run.predictions, example_run.history
    audit = example_run.audit
    assert audit is not None
    assert audit.counts["test"]

    def spoil(run: Run, folder: Path) -> Sequence[Artifact]:
        run.predictions["label"] = "spoilt"
        run.history.loc[:, "loss"] = 0
        run.metadata.experiment.clear()
        run.scores.clear()
        run.counts["test"].clear()
        if run.audit is not None:
            run.audit.counts.clear()
            run.audit.groups["test"] = 0
            run.audit.counts.setdefault("test", {}).clear()
        os.chdir(folder)
        return []

    directory = Path.cwd()
    assert report(example_run, scripted(spoil)) == []
    assert Path.cwd() == directory
    assert example_run.predictions.equals(tables[0])
    assert example_run.history.equals(tables[1])
    assert example_run.metadata.experiment["architecture"]
    assert example_run.scores["test"].n
    assert example_run.counts["test"]
    assert example_run.audit == audit


def test_a_reporter_cannot_change_an_audit(tmp_path: Path) -> None:
    report = example_audit(tmp_path)
    splits = report.audit.images.splits
    report.audit.counts.clear()
    report.audit.groups.clear()
    assert tuple(report.audit.counts) == tuple(report.audit.groups) == splits


@pytest.mark.slow
def test_a_reporter_cannot_change_the_controls_of_a_study(tmp_path: Path) -> None:
    study = example_study(tmp_path / "study")
    study.controls["mine"] = ()
    assert study.controls == {}
    with pytest.raises(TypeError):
        study.experiments[0].controls["mine"] = ()  # type: ignore[index]


def test_the_example_run_has_plates_and_wells(example_run: Run) -> None:
    provenance = example_run.provenance
    assert set(provenance["plate"]) == {"plate 0", "plate 1"}
    assert {"A01", "B02"} <= set(provenance["well"])
    assert report(example_run, cv.reporters.create("plate_map")) == []
    assert [artifact.path.suffix for artifact in example_run.artifacts] == [".png", ".png"]


def test_images_of_a_missing_control_say_how_to_install_it(example_run: Run) -> None:
    control = "cellvision.controls:corners"
    changes = {
        "image_control": {"type": "corners"},
        "plugins": {control: "cellvision-corners==0.3"},
    }
    run = Run(example_run.folder, example_run.metadata.model_copy(update=changes))
    with pytest.raises(errors.UnknownPlugin, match="control 'corners', which changed") as caught:
        run.model_input(["test/alpha/0"])
    assert 'pip install "cellvision-corners==0.3"' in caught.value.hint


def test_reporters_run_in_their_order(example_run: Run) -> None:
    order: list[str] = []

    def recording(label: str, **flags: bool) -> cv.Reporter:
        def run(self: cv.Reporter, run: Run, folder: Path) -> Sequence[Artifact]:
            order.append(label)
            return []

        cls = type(label, (cv.Reporter,), {"run": run, "__module__": __name__, **flags})
        cv.reporters.register(label, cls)
        return cls()

    names = ("last", "middle", "first")
    selected = [
        recording("last", runs_last=True),
        recording("middle"),
        recording("first", runs_first=True),
    ]
    try:
        assert report(example_run, *selected) == []
    finally:
        for name in names:
            cv.reporters.unregister(name)
    assert order == ["first", "middle", "last"]


def test_a_follower_that_exits_does_not_end_the_training(
    example_run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Path.cwd()
    selected = [Scripted(), Plain()]
    followers = FollowingReporters(selected, example_run.folder, None)  # type: ignore[arg-type]
    row = {"loss": 0.5, "accuracy": 0.5, "val_loss": float("nan"), "val_accuracy": float("nan")}
    followers.epoch(1, row)
    assert len(followers.active) == 2
    followers.epoch(2, row)
    assert [type(each) for each in followers.active] == [Plain]
    assert "it called sys.exit(3)" in caplog.text
    assert Path.cwd() == directory


def test_a_reporter_that_forgets_to_return_a_follower_follows_nothing(
    example_run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(cv.Reporter):
        """Returns nothing."""

        def on_run_begin(self, folder: Path, experiment: cv.Experiment) -> Any:
            self.model_copy()

    cv.reporters.register("forgetful", Forgetful)
    try:
        selected = [Forgetful(), Plain()]
        followers = FollowingReporters(selected, example_run.folder, None)  # type: ignore[arg-type]
    finally:
        cv.reporters.unregister("forgetful")
    assert [type(each) for each in followers.active] == [Plain]
    assert "reporter 'forgetful' (registered here) failed" in caplog.text
    assert "on_run_begin() returned NoneType, not a reporter" in caplog.text


@pytest.mark.parametrize("path", ["../run.json", "/etc/passwd", "C:/secret", "a/../../b", ""])
def test_a_record_that_leaves_its_folder_is_refused(path: str, tmp_path: Path) -> None:
    artifact = {"path": path, "title": "T", "kind": "text"}
    entry = {"reporter": "x", "settings": {}, "artifacts": [artifact]}
    (tmp_path / "artifacts.json").write_text(json.dumps({"schema": 1, "reporters": [entry]}))
    with pytest.raises(errors.FolderError, match="not a path below"):
        read_reports(tmp_path)


def test_links_out_of_the_folder_are_not_shown(example_run: Run) -> None:
    assert report(example_run, Plain()) == []
    path = example_run.folder / "reports" / "plain_plain.txt"
    path.unlink()
    path.symlink_to(example_run.folder / "run.json")
    assert example_run.artifacts == ()


def test_links_of_somebody_else_lead_to_no_file_that_a_report_moves_or_removes(
    example_run: Run, tmp_path: Path
) -> None:
    """A run of a stranger may hold links, and a record that claims what they lead to."""
    outside = tmp_path / "outside"
    write(outside, "letter.txt", "dear")
    reports = example_run.folder / "reports"
    reports.mkdir(exist_ok=True)
    (reports / ".plain.working").symlink_to(outside)
    (reports / "plain").symlink_to(outside)
    artifact = {"path": "plain/letter.txt", "title": "T", "kind": "text"}
    entry = {"reporter": "plain", "settings": {}, "artifacts": [artifact]}
    entry["files"] = ["plain/letter.txt"]
    (reports / "artifacts.json").write_text(json.dumps({"schema": 1, "reporters": [entry]}))
    (fault,) = report(example_run, Plain(text="a"))
    assert "'plain/cache.txt', which belongs to" in fault
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"letter.txt": "dear"}
    (reports / "plain").unlink()
    assert report(example_run, Plain(text="a")) == []
    assert (reports / "plain_a.txt").read_text() == "a"
    reports.rename(tmp_path / "elsewhere")
    reports.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.FolderError, match="is a link to another folder"):
        report(example_run, Plain(text="b"))


def test_a_killed_report_leaves_its_files_to_the_next_one(example_run: Run) -> None:
    assert report(example_run, Plain(text="a")) == []
    reports = example_run.folder / "reports"
    # As a kill leaves it: the reporter's files are still where it worked.
    working = reports / ".plain.working"
    working.mkdir()
    (reports / "plain_a.txt").rename(working / "plain_a.txt")
    assert example_run.artifacts == ()
    assert report(example_run, Plain(text="a")) == []
    assert [each.path.name for each in example_run.artifacts] == ["plain_a.txt"]
    assert not working.exists()
