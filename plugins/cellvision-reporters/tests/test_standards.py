"""The reporter ``standards``: what is filled in, what is open, and the schema of DOME."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cellvision_reporters.standards.checklist import Answer, Item, answer_cell, read_standard
from cellvision_reporters.standards.data_facts import data_facts
from cellvision_reporters.standards.dome import ABOUT, dome_schema
from cellvision_reporters.standards.model_facts import evaluation_facts, model_facts
from cellvision_reporters.standards.subject import Subject
from written_results import mark_solved, write_run, write_study

import cellvision as cv
from cellvision import errors


def report(results: cv.Run | cv.Study, out: Path, **settings: Any) -> dict[str, str]:
    reporter = cv.reporters.create("standards", **settings)
    is_study = isinstance(results, cv.Study)
    artifacts = reporter.study(results, out) if is_study else reporter.run(results, out)  # type: ignore[arg-type]
    return {each.path.name: each.path.read_text(encoding="utf-8") for each in artifacts}


@pytest.mark.parametrize(("name", "count"), [("reforms", 32), ("claim", 44)])
def test_the_standards_are_complete_and_ask_for_known_things(
    name: str, count: int, tmp_path: Path
) -> None:
    standard = read_standard(name)
    assert len(standard.items) == count
    assert len({item.id for item in standard.items}) == count
    subject = Subject.of(write_run(tmp_path / "run"))
    known = {**data_facts(subject), **model_facts(subject), **evaluation_facts(subject)}
    for item in standard.items:
        assert item.facts or item.about, item.id
        assert set(item.facts) <= set(known)
        assert set(item.about) <= set(cv.About.model_fields)


def test_the_schema_has_the_fields_of_the_registry() -> None:
    """Topics of version 2.0.0 of the registry's schema, and the number of fields of each."""
    schema = dome_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    fields = {
        f"{section}.{topic}": len(content["properties"])
        for section in ("data", "optimization", "model", "evaluation")
        for topic, content in schema["properties"][section]["properties"].items()
    }
    assert fields == {
        "data.availability": 3,
        "data.provenance": 3,
        "data.redundancy": 4,
        "data.splits": 4,
        "optimization.algorithm": 3,
        "optimization.config": 2,
        "optimization.encoding": 1,
        "optimization.features": 3,
        "optimization.fit": 3,
        "optimization.meta": 3,
        "optimization.parameters": 2,
        "optimization.regularisation": 2,
        "model.availability": 3,
        "model.duration": 1,
        "model.interpretability": 2,
        "model.output": 1,
        "evaluation.method": 1,
        "evaluation.availability": 2,
        "evaluation.comparison": 2,
        "evaluation.confidance": 2,
        "evaluation.measure": 2,
    }
    assert set(ABOUT) <= set(cv.About.model_fields)


def test_a_study_fills_in_what_it_knows_and_asks_for_the_rest(tmp_path: Path, out: Path) -> None:
    study = write_study(tmp_path / "study", {"net": {}}, runs=2, controls=["intensity"])
    files = report(study, out)
    dome = json.loads(files["standards_dome.json"])
    jsonschema.validate(dome, dome_schema())
    assert dome["x-dome-schema-version"] == "2.0.0"
    assert dome["data"]["provenance"]["numDP"] == 60
    assert dome["data"]["provenance"]["prevUse"] is None
    assert dome["data"]["redundancy"]["isIndep"] is True
    assert dome["data"]["splits"]["dpPerSplit"] == [20, 20, 20]
    assert dome["optimization"]["parameters"]["numP"] is None  # the run has no network
    assert dome["evaluation"]["confidance"] == {"hasCI": True, "isStatSig": True}
    assert dome["evaluation"]["comparison"] == {"cmpPub": None, "cmpBase": True}
    assert "`data.provenance.prevUse`" in files["standards_open.md"]
    assert "trnOnlySel" not in files["standards_open.md"]  # no features are selected
    assert "- `data_reused`: Whether published work" in files["standards_open.md"]
    reforms = files["standards_reforms.md"]
    assert "| 6b | Dependencies and duplicates" in reforms
    assert "No two splits share a group" in reforms
    assert "**To answer: about.population**" in reforms
    claim = files["standards_claim.md"]
    assert "| 44 | Funding, and the role of funders | **To answer: about.funding" in claim
    assert "- `population`: Cells, tissue, organisms" in files["standards_open.md"]
    assert "cellvision 0.1.0" in files["standards_methods.md"]
    assert "# Model card: study" in files["standards_model_card.md"]


def test_settings_without_effect_are_not_stated(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert "epochs with batches of" in model_facts(Subject.of(run))["training"]
    facts = model_facts(Subject.of(mark_solved(run)))
    assert facts["training"] == ("Solved exactly; epochs, batch size and optimizer have no effect.")
    assert "epoch" not in facts["selection"]


def test_a_file_answers_what_a_person_knows(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run")
    lines = ["[about]", 'authors = ["Ada", "Bo"]']
    for name, field in cv.About.model_fields.items():
        if name != "authors":
            is_text = "str" in str(field.annotation)
            lines.append(f'{name} = "Text of {name}."' if is_text else f"{name} = true")
    about = tmp_path / "about.toml"
    about.write_text("\n".join(lines), encoding="utf-8")
    files = report(run, out, about=about)
    assert files["standards_open.md"].startswith("Nothing is open")
    dome = json.loads(files["standards_dome.json"])
    assert dome["publication"]["authors"] == "Ada, Bo"
    assert "Text of data_source." in dome["data"]["provenance"]["source"]
    assert dome["data"]["availability"]["isPub"] is True
    assert dome["evaluation"]["measure"]["isRep"] is True
    assert dome["evaluation"]["confidance"]["isStatSig"] is False  # a run has no permutation test
    assert "To answer" not in "".join(files.values())


def test_the_table_of_the_experiment_is_read(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    record["experiment"]["about"] = {"funding": "A foundation."}
    (run.folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert "A foundation." in report(cv.load_run(run.folder), out)["standards_claim.md"]


def test_mistakes_in_the_file_are_errors(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run")
    about = tmp_path / "about.toml"
    with pytest.raises(errors.InvalidInput, match=r"about\.toml"):
        report(run, out, about=about)
    about.write_text("[about]\nfounding = 'x'")
    with pytest.raises(errors.ExperimentError, match="'founding'"):
        report(run, out, about=about)
    study = write_study(tmp_path / "study", {"net": {}})
    with pytest.raises(errors.InvalidInput, match="no experiment 'other'"):
        report(study, out, experiment="other")


def test_an_answer_is_open_while_a_person_has_not_answered() -> None:
    item = Item("1", "Section", "Text", ("counts",), ("labels",))
    assert answer_cell(Answer(item, "known", ())) == "known"
    assert answer_cell(Answer(item, "known", ("labels",))) == "known **To answer: about.labels**"
    assert answer_cell(Answer(item, "", ())) == "**Not known from this folder.**"
