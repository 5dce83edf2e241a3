"""Network and expert: the verdict, what it rests on, and who shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cellvision_reporters.expert import read_expert_record
from figure_checks import assert_is_a_picture, assert_nothing_is_clipped, texts
from written_results import write_run, write_study

import cellvision as cv
from cellvision import Run, errors, statistics
from cellvision.cli import main
from cellvision.progress import Display
from cellvision.results.reporting import make_reports

NAMES = ("control", "treated")


def answers(
    run: Run,
    target: Path,
    wrong: Sequence[int] = (),
    *,
    rater: str = "Ana",
    repeats: Sequence[tuple[int, str]] = (),
    split: str = "test",
    keep: int | None = None,
) -> Path:
    """Write answers that are right but for some images; more is added to what is there."""
    table = run.predictions[run.predictions["split"] == split].reset_index(drop=True).head(keep)
    names = run.class_names
    rows = []
    for k, row in table.iterrows():
        position = names.index(row["label"])
        answer = names[(position + 1) % len(names)] if k in wrong else row["label"]
        rows.append([row["image"], split, row["group"], row["label"], rater, answer, 2.5, 1, "t"])
    for k, answer in repeats:
        row = table.iloc[k]
        rows.append([row["image"], split, row["group"], row["label"], rater, answer, 2.5, 2, "t"])
    columns = ["image", "split", "group", "label", "rater", "answer", "seconds", "repeat", "time"]
    frame = pd.DataFrame(rows, columns=columns)
    before = [pd.read_csv(target)] if target.is_file() else []
    pd.concat([*before, frame]).to_csv(target, index=False)
    return target


def report(results: cv.Run | cv.Study, folder: Path, **settings: Any) -> dict[str, Any]:
    reporter = cv.reporters.create("expert", **settings)
    artifacts = (
        reporter.study(results, folder)
        if isinstance(results, cv.Study)
        else reporter.run(results, folder)
    )
    assert all(artifact.path.is_file() for artifact in artifacts)
    record: dict[str, Any] = json.loads((folder / "expert.json").read_text(encoding="utf-8"))
    return record


# --- one run -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network_wrong", "expert_wrong", "verdict"),
    [(60, range(0), "expert better"), (0, range(60), "network better"), (20, range(5, 27), None)],
)
def test_the_verdict_follows_the_interval_of_the_difference(
    network_wrong: int, expert_wrong: range, verdict: str | None, tmp_path: Path, out: Path
) -> None:
    run = write_run(tmp_path / "run", n=120, wrong=network_wrong, group=None)
    table = answers(run, tmp_path / "a.csv", list(expert_wrong))
    (comparison,) = report(run, out, answers=table)["comparisons"]
    network = np.arange(120) >= network_wrong
    expert = ~np.isin(np.arange(120), expert_wrong)
    expected = statistics.paired_difference(network, expert)
    assert comparison["difference"]["estimate"] == pytest.approx(network.mean() - expert.mean())
    assert (comparison["difference"]["low"], comparison["difference"]["high"]) == pytest.approx(
        (expected.low, expected.high)
    )
    assert comparison["network"]["estimate"] == pytest.approx(network.mean())
    assert comparison["expert"]["low"] == pytest.approx(statistics.accuracy_interval(expert).low)
    exact = statistics.mcnemar(network, expert)
    (test,) = comparison["mcnemar"]
    assert (test["only_a"], test["only_b"], test["p"]) == (exact.only_a, exact.only_b, exact.p)
    assert comparison["verdict"] == (verdict or "cannot tell")
    page = (out / "expert.md").read_text(encoding="utf-8")
    assert ("cannot tell whether" in page) == (verdict is None)
    assert ("is better than" in page) == (verdict is not None)
    assert "n = 120 images" in page
    assert f"| {exact.p:.2g} |" in page  # never 0.000


@pytest.mark.slow
def test_groups_decide_the_interval(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=120, wrong=60)
    table = answers(run, tmp_path / "a.csv", range(30, 60))
    (comparison,) = report(run, out, answers=table)["comparisons"]
    rows = run.predictions[run.predictions["split"] == "test"].sort_values("image")
    network = (rows["predicted"] == rows["label"]).to_numpy()
    expert = ~rows["image"].str.extract(r"(\d+)")[0].astype(int).between(30, 59).to_numpy()
    grouped = statistics.paired_difference(network, expert, rows["group"])
    assert comparison["difference"]["low"] == pytest.approx(grouped.low)
    assert comparison["difference"]["groups"] == 4
    page = (out / "expert.md").read_text(encoding="utf-8")
    assert "from 4 wells" in page
    assert "only 4 groups" in page
    assert "trust the interval of the difference" in page


@pytest.mark.slow
def test_only_images_that_both_have_judged_count(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=30, wrong=3)
    table = answers(run, tmp_path / "a.csv", [0], keep=12, repeats=[(1, "control"), (2, "treated")])
    (comparison,) = report(run, out, answers=table)["comparisons"]
    assert (comparison["n"], comparison["evaluated"]) == (12, 30)
    assert comparison["network"]["estimate"] == pytest.approx(9 / 12)
    assert comparison["expert"]["estimate"] == pytest.approx(11 / 12)
    assert "12 of 30" in (out / "expert.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_agreement_table_and_disagreements(
    tmp_path: Path,
    out: Path,
    drawn: list[Any],
) -> None:
    run = write_run(tmp_path / "run", n=20, wrong=6)
    table = answers(run, tmp_path / "a.csv", [0, 1, 10])
    (comparison,) = report(run, out, answers=table)["comparisons"]
    rows = run.predictions[run.predictions["split"] == "test"].reset_index(drop=True)
    answer_table = pd.read_csv(table)
    expected = pd.crosstab(rows["predicted"], answer_table["answer"]).to_numpy()
    assert np.array_equal(comparison["agreement"], expected)
    assert comparison["agreed"] == pytest.approx(np.trace(expected) / 20)
    differ = rows["image"][rows["predicted"] != answer_table["answer"]]
    assert sorted(comparison["disagreements"]) == sorted(differ)
    for figure in drawn:
        assert_nothing_is_clipped(figure)
    assert_is_a_picture(out / "expert.png")
    (images,) = out.glob("expert_images_*.png")
    assert_is_a_picture(images)
    assert any("Ana: " in text for text in texts(drawn[1]))


@pytest.mark.slow
def test_raters_are_compared_with_themselves_and_each_other(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=20, wrong=5)
    table = tmp_path / "a.csv"
    answers(run, table, [0], repeats=[(k, NAMES[k % 2]) for k in range(2, 8)])
    answers(run, table, [1, 2], rater="Bo")
    record = report(run, out, answers=table)
    assert [each["rater"] for each in record["comparisons"]] == ["Ana", "Bo"]
    itself, other = record["agreement"]
    assert (itself["rater"], itself["with"], itself["n"]) == ("Ana", "itself", 6)
    assert (itself["kappa"], itself["agreement"]) == (1, 1)
    assert (other["rater"], other["with"], other["n"]) == ("Ana", "Bo", 20)
    assert other["agreement"] == pytest.approx(17 / 20)
    alone = report(run, out, answers=table, rater="Bo")
    assert [each["rater"] for each in alone["comparisons"]] == ["Bo"]
    assert alone["agreement"] == []
    assert "Unknown: no image was shown twice" in (out / "expert.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_undeclared_settings_are_reported(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=20)
    table = answers(run, tmp_path / "a.csv")
    assert report(run, out, answers=table)["declared_beforehand"] is False
    assert "NOT declared" in (out / "expert.md").read_text(encoding="utf-8")
    settings = cv.reporters.create("expert", answers=table).model_dump(mode="json")
    declared = write_run(tmp_path / "declared", n=20, reporters=[settings])
    assert report(declared, out, answers=table)["declared_beforehand"] is True
    assert "before training" in (out / "expert.md").read_text(encoding="utf-8")
    assert report(declared, out, answers=table, rater="Ana")["declared_beforehand"] is False


@pytest.mark.slow
def test_answers_that_do_not_fit_are_refused(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=20)
    table = answers(run, tmp_path / "a.csv")
    good = pd.read_csv(table)
    bad = tmp_path / "bad.csv"
    for change, reason in (
        (lambda t: t.assign(label=t["label"].iloc[::-1].to_numpy()), "in the run and"),
        (lambda t: t.assign(answer="grey"), "the class 'grey'"),
        (lambda t: t.assign(image="x" + t["image"]), "no image is in a test set"),
        (lambda t: t.drop(columns="answer"), "the column 'answer' is missing"),
        (lambda t: t.head(0), "it has no answers"),
        (lambda t: pd.concat([t, t]), "more than once"),
        (lambda t: t.assign(repeat=0), "other values than 1, 2"),
        (lambda t: t.assign(repeat="first"), "other values than 1, 2"),
    ):
        change(good).to_csv(bad, index=False)
        with pytest.raises(errors.InvalidInput, match=reason):
            report(run, out, answers=bad)
    text = table.read_text().replace(",", ";").replace("2.5", "2,5")
    (tmp_path / "sheet.csv").write_text(text, encoding="utf-8-sig", newline="\r\n")
    sheet, plain = (report(run, out, answers=tmp_path / name) for name in ("sheet.csv", "a.csv"))
    assert sheet == {**plain, "answers": sheet["answers"]}
    with pytest.raises(errors.InvalidInput, match="No such file"):
        report(run, out, answers=tmp_path / "none.csv")
    with pytest.raises(errors.InvalidInput, match="no answers by 'Eve'"):
        report(run, out, answers=table, rater="Eve")
    with pytest.raises(errors.InvalidInput, match="needs a study"):
        report(run, out, answers=table, declared="mean")
    assert cv.reporters.create("expert", answers="a.csv").answers.is_absolute()


# --- a study -----------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> cv.Study:
    experiments = {"deep": {"wrong": 4}, "alexnet": {"wrong": 12}}
    splits = ("train", "validation", "test")
    return write_study(tmp_path / "study", experiments, n=40, splits=splits)


@pytest.mark.slow
def test_the_mean_of_a_study_is_over_its_runs(study: cv.Study, tmp_path: Path, out: Path) -> None:
    table = answers(study.runs[0], tmp_path / "a.csv", range(6))
    record = report(study, out, answers=table, declared="mean")
    deep, alexnet = record["comparisons"]
    assert (deep["experiment"], alexnet["experiment"]) == ("deep", "alexnet")
    assert deep["runs"] == ["000", "001", "002"]
    assert deep["network"]["estimate"] == pytest.approx(1 - np.mean([4, 5, 6]) / 40)
    assert alexnet["difference"]["estimate"] == pytest.approx((6 - np.mean([12, 13, 14])) / 40)
    assert [test["only_b"] for test in alexnet["mcnemar"]] == [6, 7, 8]
    assert np.sum(deep["agreement"]) == pytest.approx(40)
    tested = study.runs[0].predictions_of("test")
    right = [run.predictions_of("test").eval("label == predicted") for run in study.runs[:3]]
    groups = tested["group"] if study.runs[0].group_column else None
    same = statistics.accuracy_interval(np.mean(right, axis=0), groups)
    assert (deep["network"]["low"], deep["network"]["high"]) == (same.low, same.high)
    first = report(study, out, answers=table, declared="run")["comparisons"][0]
    assert first["runs"] == ["000"]
    assert first["network"]["estimate"] == pytest.approx(36 / 40)


@pytest.mark.slow
def test_figures_of_a_study_are_not_clipped(
    study: cv.Study,
    tmp_path: Path,
    out: Path,
    drawn: list[Any],
) -> None:
    table = answers(study.runs[0], tmp_path / "a.csv", range(6))
    answers(study.runs[0], table, range(9), rater="A rater with <quite> a long & $odd$ name")
    report(study, out, answers=table, declared="mean")
    assert len(drawn) == 5
    for figure in drawn:
        assert_nothing_is_clipped(figure)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["boxplot", "learning"])
def test_figures_draw_the_expert_of_the_stored_comparison(
    name: str, study: cv.Study, tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    from matplotlib.lines import Line2D

    table = answers(study.runs[0], tmp_path / "a.csv", range(6))

    def lines() -> set[float]:
        drawn.clear()
        cv.reporters.create(name).study(study, out)
        (figure,) = drawn
        return {
            round(float(np.ravel(edge)[0]), 6)
            for line in figure.findobj(Line2D)
            if line.get_linestyle() == "-."
            for edge in [line.get_xdata() if name == "boxplot" else line.get_ydata()]
            if len(np.ravel(edge)) == 2
        }

    assert lines() == set()
    reports = study.folder / "reports"
    reports.mkdir()
    report(study, reports, answers=table)
    table.unlink()  # the stored comparison is enough
    assert 0.85 in lines()  # 34 of 40 right


@pytest.mark.slow
def test_summary_and_page_show_the_stored_comparison(study: cv.Study, tmp_path: Path) -> None:
    table = answers(study.runs[0], tmp_path / "a.csv", range(6))
    expert = cv.reporters.create("expert", answers=table, declared="mean")
    others = [cv.reporters.create(name) for name in ("html", "summary")]

    def shown() -> list[str]:
        reports = study.folder / "reports"
        names = ("summary.md", "report.html")
        texts = [(reports / name).read_text(encoding="utf-8") for name in names]
        return [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]

    make_reports(study, others, Display())
    assert all("Network and expert" not in text for text in shown())
    # Declared last, it runs first, since the others read what it stores.
    _, faults = make_reports(study, [*others, expert], Display())
    assert [fault.what for fault in faults] == []
    record = read_expert_record(study)
    assert record is not None
    assert [each.experiment for each in record.comparisons] == ["deep", "alexnet"]
    for text in shown():
        for each in record.comparisons:
            assert each.sentence.partition(": ")[2] in text
            assert text.count("NOT declared before training.") >= 2


# --- the command -------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_takes_the_declared_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = answers(write_run(tmp_path / "other", n=20), tmp_path / "a.csv", [3])
    declared = {"type": "expert", "answers": str(table), "rater": None, "declared": "run"}
    run = write_run(tmp_path / "run", n=20, reporters=[{**declared, "images": 0}])

    def command(*words: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(["report", str(run.folder), *words])
        assert isinstance(end.value.code, int)
        return end.value.code

    assert command("--reporter", "expert") == 0
    record = json.loads((run.folder / "reports" / "expert.json").read_text())
    assert record["declared_beforehand"] is True
    assert command("--reporter", "expert", "--set", "rater=Ana") == 0
    record = json.loads((run.folder / "reports" / "expert.json").read_text())
    assert (record["rater"], record["declared_beforehand"]) == ("Ana", False)
    capsys.readouterr()
    assert command("--set", "rater=Ana") == 2
    assert "--set changes one reporter only" in capsys.readouterr().err
    assert command("--reporter", "expert", "--set", "rater") == 2
    assert "KEY=VALUE" in capsys.readouterr().err


# --- answers that name no class ------------------------------------------------------------


@pytest.mark.slow
def test_images_whose_class_the_expert_cannot_say_are_counted_apart(
    tmp_path: Path, out: Path
) -> None:
    run = write_run(tmp_path / "run", n=20, wrong=5)
    table = answers(run, tmp_path / "a.csv", [6])
    written = pd.read_csv(table)
    written.loc[[0, 1, 10, 11], "answer"] = ""  # the network is wrong on 0 and 1
    written.to_csv(table, index=False)
    (comparison,) = report(run, out, answers=table)["comparisons"]
    assert (comparison["n"], comparison["unanswered"]) == (16, 4)
    assert comparison["network_on_unanswered"] == pytest.approx(0.5)
    assert comparison["network"]["estimate"] == pytest.approx(13 / 16)
    assert comparison["expert"]["estimate"] == pytest.approx(15 / 16)
    assert "could not say the class of 4 further images" in comparison["sentence"]


@pytest.mark.slow
def test_kappa_is_over_groups_and_leaves_out_answers_without_a_class(
    tmp_path: Path, out: Path
) -> None:
    run = write_run(tmp_path / "run", n=20, wrong=5)
    table = tmp_path / "a.csv"
    answers(run, table, [0])
    answers(run, table, [1, 2, 5], rater="Bo")
    written = pd.read_csv(table)
    written.loc[[3, 24], "answer"] = ""  # image 3 of Ana, image 4 of Bo
    written.to_csv(table, index=False)
    (agreement,) = report(run, out, answers=table)["agreement"]
    rows = [k for k in range(20) if k not in (3, 4)]
    first, second = written.iloc[:20], written.iloc[20:].reset_index(drop=True)
    kappa = statistics.cohen_kappa(
        first["answer"][rows], second["answer"][rows], groups=first["group"][rows]
    )
    assert (agreement["n"], agreement["groups"]) == (18, 4)
    assert (agreement["low"], agreement["high"]) == pytest.approx((kappa.low, kappa.high))


@pytest.mark.slow
def test_folds_are_compared_on_all_labelled_images(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=20, wrong=5)
    table = answers(run, tmp_path / "a.csv", [6])
    written = pd.read_csv(table)
    written.loc[:9, "split"] = "train"  # as the split was when the expert labelled them
    written.to_csv(table, index=False)
    (plain,) = report(run, out, answers=table)["comparisons"]
    assert plain["n"] == 10
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    (run.folder / "run.json").write_text(json.dumps({**record, "folds": 5}), encoding="utf-8")
    pooled = cv.load_run(run.folder)
    (comparison,) = report(pooled, out, answers=table)["comparisons"]
    assert comparison["n"] == 20
    right = pooled.predictions[pooled.predictions["split"] == "test"]
    correct = (right["predicted"] == right["label"]).to_numpy()
    interval = statistics.cross_validated_accuracy(correct, right["group"].to_numpy())
    assert comparison["network"]["low"] == pytest.approx(interval.low)
