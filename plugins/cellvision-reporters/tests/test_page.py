"""The HTML page is self-contained, starts with the result, and shows all artifacts."""

from __future__ import annotations

import base64
import io
import re
import shlex
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written_results import LEAKS, ODD_NAMES, mark_solved, write_run, write_study

import cellvision as cv
from cellvision import Artifact, statistics
from cellvision.progress import Display
from cellvision.results.following_reporters import record_training_faults
from cellvision.results.reporting import make_reports


class ParsedPage(HTMLParser):
    """URLs that a page loads, its links, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for key, value in attrs if key in ("src", "srcset")]
        self.links += [value or "" for key, value in attrs if key == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")


def parse(results: cv.Run | cv.Study) -> ParsedPage:
    """Parse the report page; require that it loads nothing else and that all links work."""
    reports = results.folder / "reports"
    source = (reports / "report.html").read_text(encoding="utf-8")
    page = ParsedPage(source)
    assert all(re.match(r"data:image/(png|svg\+xml|jpeg);base64,", url) for url in page.sources)
    assert not re.search(r"url\(|@import|<script|<link", source)
    assert not {"script", "iframe", "object", "link"} & set(page.tags)
    for link in page.links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in source
        elif not link.startswith("http"):  # a link in a reporter's text loads nothing
            assert (reports / link).is_file(), link
    return page


def report_on(results: cv.Run | cv.Study, *reporters: cv.Reporter | str) -> ParsedPage:
    created = [
        cv.reporters.create(reporter) if isinstance(reporter, str) else reporter
        for reporter in reporters
    ]
    _, faults = make_reports(results, [*created, cv.reporters.create("html")], Display())
    assert [fault.what for fault in faults] == []
    return parse(results)


def test_the_page_of_a_run_shows_all_results(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ODD_NAMES, n=30, wrong=6, leaks=LEAKS)
    page = report_on(run, "tables", "confusion", "panel", "curves")
    assert "b" not in page.tags  # a class name is text, not markup
    source = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert 'name="viewport"' in source
    assert "@media print" in source
    assert "prefers-color-scheme: dark" in source
    for text in (
        "80 % of 30 images are right (95 % interval",
        "This is the answer of a single run without controls.",
        "LEAK: test and train share groups (1)",
        "Mind <this>.",
        "Worst class",
        "<torn>.tif",
        "cut short & torn",
        "cellvision-datasets==0.1.0",
        "All images of one well were kept in the same split.",
        *ODD_NAMES,
    ):
        assert text in page.text, text
    # First the answer with its picture, then warnings, then the rest.
    answer, leak = page.text.index("answer of a single run"), page.text.index("LEAK")
    picture, warning = page.text.index("Panel: test"), page.text.index("Mind <this>.")
    contents, rest = page.text.index("On this page"), page.text.index("Confusion matrix: test")
    assert answer < leak < picture < warning < contents < rest < page.text.rindex("Data and audit")
    assert len(page.sources) == 3
    assert "../predictions.csv" in page.links


def test_the_page_of_a_run_gives_the_answer_of_the_rule_and_a_complete_command(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "a run", n=48, wrong=2)
    text = report_on(run).text
    verdict = statistics.verdict(
        *(run.predictions_of("test")[name].to_numpy() for name in ("label", "predicted", "group")),
        training=run.scores["train"].balanced_accuracy,
    )
    # The demo and a study begin with the same sentence.
    assert f"{verdict.sentence[0].upper()}{verdict.sentence[1:]}. {statistics.SINGLE_RUN}" in text
    (command,) = re.findall(r"cellvision study .*", text)
    words = shlex.split(command)
    assert words[2] == str(run.folder.resolve() / "run.json")
    assert words[3:] == ["--runs", "5", "--controls", "--out", f"{run.folder.resolve()}-study"]
    assert not Path(words[-1]).exists()


def test_every_accuracy_of_the_answer_has_its_n_and_no_sentence_comes_twice(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", n=30, wrong=6)
    study = write_study(tmp_path / "study", {"net": {"n": 20}})
    one, several = r"\d+ of \d+ images right", r"\d+\s% of \d+ images right, mean of \d+ runs"
    for results, n, right in ((run, 30, one), (study, 20, several)):
        text = " ".join(report_on(results).text.split())
        answer = text[: text.index("On this page")]
        for name in ("Accuracy on held-out images", "Balanced accuracy", "training images"):
            value = answer[answer.index(name) + len(name) :]
            assert re.match(rf" ?[01]\.\d\d \([^)]*\bn = {n}\)", value), value[:60]
        assert re.search(rf"Worst class ?\S+: {right}", answer)
        assert answer.count("No p below") <= 1


def test_settings_without_effect_are_not_listed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", epochs=1)
    solved = "solved exactly; epochs, batch size and optimizer have no effect"
    text = report_on(run).text
    assert "Batch size" in text
    assert solved not in text
    text = report_on(mark_solved(run)).text
    assert solved in text
    assert "Batch size" not in text
    assert "softmax regression was fitted" in text


def test_a_damaged_audit_does_not_stop_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.folder / "audit.json").write_text('{"class_names": 3}')
    assert "audit.json is missing or damaged." in report_on(run).text
    with pytest.raises(cv.errors.FolderError, match=r"audit\.json: .*class_names: "):
        _ = cv.load_run(run.folder).audit


def test_the_page_shows_the_artifacts_of_any_reporter(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    class OtherAuthors(cv.Reporter):
        """A reporter with one artifact of each kind."""

        word: str = "plain"

        def run(self, run: cv.Run, folder: Path) -> Sequence[Artifact]:
            (folder / "third_party.csv").write_text("name,value\n<i>one</i>,0.123456\n")
            text = "# Heading\n\n<script>x</script> and *emphasis* ![x](http://a.b/c.png)"
            (folder / "third_party.md").write_text(text)
            (folder / "third_party.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
            (folder / "third_party_page.html").write_text("<p>separate page</p>")
            (folder / "third_party.bin").write_bytes(b"\0")
            return [
                Artifact(folder / "third_party.svg", "A drawing", "figure", "With a caption.", 50),
                Artifact(folder / "third_party.csv", "A table", "table", order=150),
                Artifact(folder / "third_party.md", "A text", "text", order=350),
                Artifact(folder / "third_party_page.html", "A separate page", "page"),
                Artifact(folder / "third_party.bin", "Some data", "data"),
            ]

    cv.reporters.register("third_party", OtherAuthors)
    try:
        page = report_on(run, OtherAuthors(word="chosen"), "confusion")
    finally:
        cv.reporters.unregister("third_party")
    assert any(url.startswith("data:image/svg+xml") for url in page.sources)
    positions = [page.text.rindex(title) for title in ("A drawing", "Confusion matrix: test")]
    assert positions == sorted(positions)
    for text in ("With a caption.", "<i>one</i>", "0.123", "<script>x</script>", "word = 'chosen'"):
        assert text in page.text
    assert {"i", "script"} & set(page.tags) == set()
    assert "em" in page.tags
    assert {"third_party_page.html", "third_party.bin", "third_party.csv"} <= set(page.links)


def embedded(page: ParsedPage) -> np.ndarray:
    """Return the pixels of the only figure of a page."""
    (address,) = page.sources
    return rows(base64.b64decode(address.partition("base64,")[2]))


def rows(content: bytes) -> np.ndarray:
    """Return the pixels of a PNG file."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_caption_stands_below_its_figure_and_not_in_it_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = report_on(run, cv.reporters.create("panel", images=3))
    file = rows((run.folder / "reports" / "panel_test.png").read_bytes())
    shown = embedded(page)
    # The title says more than the heading of the page, so it stays.
    assert np.array_equal(shown, file[: len(shown)])
    assert (file[len(shown) :] < 128).any()  # the caption, for those who see the file alone
    assert len(re.findall("3 of [0-9]+ images: ", page.text)) == 1
    assert page.text.count("the same for all images.") == 1  # which the artifact does not say
    assert "images = 3" in page.text
    # Reporting again with other settings replaces the figure and adds none.
    again = report_on(run, cv.reporters.create("panel", images=5))
    assert len(again.sources) == 1
    assert again.sources != page.sources
    assert "3 epochs of training" not in report_on(run, "curves").text  # the picture's title


def test_a_title_that_the_heading_repeats_is_cut_off(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"deep": {}}, leaks=LEAKS)
    page = report_on(study, "boxplot")
    file = rows((study.folder / "reports" / "boxplot.png").read_bytes())
    shown = embedded(page)
    top = next(k for k in range(len(file)) if np.array_equal(file[k : k + len(shown)], shown))
    assert (file[:top] < 128).any()  # the title
    assert (shown[: len(shown) // 4] == (194, 47, 29)).all(-1).any()  # the banner stays
    assert page.text.count("Test accuracy over runs") == 1
    assert page.text.count("Every point is one run") == 1


def test_a_figure_that_cannot_be_cut_keeps_its_caption(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = report_on(run, cv.reporters.create("panel", images=3, format="svg"))
    source = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "<figcaption>" not in source
    assert re.search('alt="Panel: test. 3 of [0-9]+ images', source)
    assert page.sources[0].startswith("data:image/svg+xml")


def test_figures_of_every_width_have_text_of_one_size(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    report_on(run, cv.reporters.create("confusion", dpi=100), cv.reporters.create("panel", dpi=200))
    source = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    panel, confusion = (int(width) for width in re.findall(r"--width: (\d+)px", source))
    for width, name, dpi in ((panel, "panel_test", 200), (confusion, "confusion_test", 100)):
        with Image.open(run.folder / "reports" / f"{name}.png") as image:
            assert width == pytest.approx(image.width / dpi * 112, abs=1)


def test_columns_of_numbers_are_aligned_right() -> None:
    from cellvision_reporters.page.content import Table

    rows = (("a", "1,204", "0.5", "5 %", "7 apo"), ("12", "–", "-1e-05", "93 %", "8"))
    assert Table(("",) * 5, rows).aligned_right == (False, True, True, True, False)
    assert Table((), (("size", "64"),)).aligned_right == (False, False)  # names and values


def test_the_page_names_reporters_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellvision.testing import SyntheticImages

    def read(self: SyntheticImages, image: str) -> None:
        raise cv.errors.UnreadableImage(image, "it is <gone>")

    run = write_run(tmp_path / "run")
    monkeypatch.setattr(SyntheticImages, "read", read)
    selected = [cv.reporters.create(name) for name in ("panel", "confusion", "html")]
    _, faults = make_reports(run, selected, Display())
    assert len(faults) == 1
    page = parse(run)
    assert "The reporter 'panel' failed: UnreadableImage" in page.text
    assert "it is <gone>" in page.text
    assert len(page.sources) == 1


def test_the_page_names_guessing_and_permuted_labels(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    make_reports(run, [cv.reporters.create("html")], Display())
    text = parse(run).text
    assert "0.50 (guessing one of 2 classes)" in text
    assert "mean balanced accuracy of permuted labels: 0.5" in text


def test_a_report_of_one_reporter_updates_an_existing_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    def report(*names: str) -> None:
        from cellvision.cli import main

        options = [word for name in names for word in ("--reporter", name)]
        with pytest.raises(SystemExit) as end:
            main(["report", str(run.folder), *options])
        assert end.value.code == 0

    report("confusion")
    assert not (run.folder / "reports" / "report.html").exists()  # there was no page to update
    report("html")
    (before,) = [each.settings for each in run.reports if each.reporter == "html"]
    pictures = len(parse(run).sources)
    report("probabilities")
    assert len(parse(run).sources) == pictures + 1
    (after,) = [each.settings for each in run.reports if each.reporter == "html"]
    assert after == before


def test_the_page_names_reporters_that_failed_during_the_training(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    panel = cv.reporters.create("panel")
    record_training_faults(run.folder / "reports", [(panel, RuntimeError("no ink"))])
    make_reports(run, [panel, cv.reporters.create("html")], Display())
    page = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "failed during the training: RuntimeError: no ink" in page


def test_the_page_of_a_study_names_reporters_that_failed_during_trainings(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"deep": {"wrong": 2}}, controls=["intensity"])
    panel = cv.reporters.create("panel")
    for name in ("000", "intensity_000"):
        reports = study.folder / "runs" / name / "reports"
        record_training_faults(reports, [(panel, RuntimeError("no ink"))])
    page = report_on(study)
    assert (
        "'panel' failed during the training: RuntimeError: no ink (2 of 6 trainings)" in page.text
    )


def test_the_page_of_a_study(tmp_path: Path) -> None:
    experiments = {"deep": {"wrong": 2}, "a <long> & odd name": {"wrong": 4}}
    study = write_study(tmp_path / "study", experiments, controls=["intensity"])
    page = report_on(study, "summary", "boxplot", "confusion", "controls")
    for text in (
        "mean of 3 runs, SD over runs 0.050",
        "a <long> & odd name",
        "Ensemble of 3 runs",
        "Control: intensity alone",
        "Controls not run",
        "Training was repeated with 3 seeds",
        "The first of 3 runs",
    ):
        assert text in page.text, text
    verdict = study.verdicts[0]
    assert verdict.question in page.text
    assert f"{verdict.sentence[0].upper()}{verdict.sentence[1:]}" in page.text
    assert page.text.index(verdict.question) < page.text.index("On this page")
    # Nothing is said twice: one box for each of two experiments.
    for line in ("Controls not run", *verdict.reasons):
        assert page.text.count(line) <= 2, line
    assert page.text.count("network minus control, balanced accuracy") == 2
    assert len(page.sources) == 1 + 2 + 2
    assert {"../runs.csv", "../runs/000/predictions.csv"} <= set(page.links)


def test_the_page_of_a_control_has_a_banner(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", control="background")
    page = report_on(run)
    assert "CONTROL (background): not a result of the experiment." in page.text
    assert "answer of a single run" not in page.text


def test_a_run_without_test_set_says_so(tmp_path: Path) -> None:
    page = report_on(write_run(tmp_path / "run", splits=("train", "validation")))
    assert "There is no test set, so nothing is known about new images." in page.text


def test_tables_are_rounded_and_shortened(tmp_path: Path) -> None:
    from cellvision_reporters.page.content import read_table

    path = tmp_path / "table.csv"
    rows = "\n".join(f"{k},0.00012345,,{'a long sentence in every row ' * 2}" for k in range(205))
    path.write_text(f"the_name,small,empty,leak\n{rows}\n")
    table = read_table(path)
    assert table.head == ("the name", "small")
    assert table.rows[1] == ("1", "0.000123")
    assert (len(table.rows), table.omitted) == (200, 5)


def test_limits_have_the_decimals_of_their_quantity(tmp_path: Path) -> None:
    from cellvision_reporters.page.content import read_table

    path = tmp_path / "table.csv"
    path.write_text("auc,auc_low,auc_high,n\n1,0.9,1,20\n")
    assert read_table(path).rows == (("1.000", "0.900", "1.000", "20"),)


def test_a_study_claims_the_kept_epoch_of_no_single_training(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"net": {}}, runs=2)
    for run, kept, scale in zip(study.experiments[0].runs, (1, 3), (255.0, 4095.0), strict=True):
        changes = {"kept_epoch": kept, "intensity_scale": scale}
        (run.folder / "run.json").write_text(run.metadata.model_copy(update=changes).to_json())
    text = report_on(cv.load_study(tmp_path)).text
    assert "3; the weights of epochs 1–3 were kept" in text
    assert "The weights of epochs 1–3 were kept: in each training" in text
    assert "The weights of epoch 1, which" not in text
    assert "0 to 255 or 0 to 4095 becomes 0 to 1" in text
    assert "intensities 0 to 255 or 0 to 4095 were scaled" in text
