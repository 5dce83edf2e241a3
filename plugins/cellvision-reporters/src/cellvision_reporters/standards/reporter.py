"""The reporter ``standards``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from cellvision import About, Artifact, Reporter, errors, io
from cellvision_reporters.page.methods import run_methods, study_methods
from cellvision_reporters.standards import dome
from cellvision_reporters.standards.card import model_card
from cellvision_reporters.standards.checklist import (
    answers,
    checklist_text,
    open_questions,
    read_standard,
)
from cellvision_reporters.standards.data_facts import data_facts
from cellvision_reporters.standards.model_facts import evaluation_facts, model_facts
from cellvision_reporters.standards.subject import Subject

if TYPE_CHECKING:
    from cellvision import Run, Study


class Standards(Reporter):
    """DOME, REFORMS and CLAIM filled in, a model card, a methods paragraph, and open questions.

    What a run or study knows is filled in. What only a person can say is taken from the table
    ``[about]`` of the experiment, or from a file, and what is missing is listed.
    """

    about: Path | None = None
    """TOML file whose values take the place of those of the experiment's table ``[about]``."""

    experiment: str | None = None
    """Experiment of a study to describe. None: the first."""

    @field_validator("about")
    @classmethod
    def _absolute(cls, about: Path | None) -> Path | None:
        """Make the path absolute: the report may be repeated from another directory."""
        return None if about is None else about.expanduser().absolute()

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Describe a run."""
        return self._write(Subject.of(run), run_methods(run), folder)

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Describe one experiment of a study."""
        return self._write(Subject.of(study, self.experiment), study_methods(study), folder)

    def _write(self, subject: Subject, methods: str, folder: Path) -> list[Artifact]:
        about = self._about(subject.settings)
        facts = {**data_facts(subject), **model_facts(subject), **evaluation_facts(subject)}
        artifacts, asked = [], []
        for name in ("reforms", "claim"):
            standard = read_standard(name)
            answered = answers(standard, facts, about)
            asked += open_questions(answered)
            path = folder / f"standards_{name}.md"
            io.write_text(path, checklist_text(standard, answered))
            artifacts.append(Artifact(path, standard.title, "data", order=910))
        entry = dome.dome_entry(subject, facts, about)
        asked += dome.unanswered(about)
        path = io.write_text(
            folder / "standards_dome.json", json.dumps(entry, indent=2, ensure_ascii=False) + "\n"
        )
        artifacts.append(Artifact(path, dome.TITLE, "data", order=910))
        card = model_card(facts, about, subject.results.folder.resolve().name)
        path = io.write_text(folder / "standards_model_card.md", card)
        artifacts.append(Artifact(path, "Model card", "data", order=910))
        paragraphs = [*methods.split("\n\n"), facts["environment"]]
        text = "\n\n".join(["# Methods", *map(io.escape_markdown, paragraphs)]) + "\n"
        path = io.write_text(folder / "standards_methods.md", text)
        artifacts.append(Artifact(path, "Methods, for a paper", "data", order=910))
        text = _open_text(asked) + _empty_text(list(dome.empty_fields(entry)))
        path = io.write_text(folder / "standards_open.md", text)
        artifacts.append(Artifact(path, "Standards: what a person must answer", "text", order=420))
        return artifacts

    def _about(self, settings: Mapping[str, Any]) -> About:
        values: dict[str, Any] = dict(settings.get("about") or {})
        if self.about is not None:
            values |= _read_about(self.about)
        return About.from_settings(values, str(self.about or "about"))


def _read_about(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.InvalidInput(
            f"{path}: {error.strerror or error}", "Name a TOML file"
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"{path}: {errors.first_line(error)}", "Correct it") from None
    table: dict[str, Any] = content.get("about", content)
    return table


def _open_text(asked: Sequence[str]) -> str:
    """List the fields of `About` that are empty, with what each is for."""
    names = list(dict.fromkeys(asked))
    if not names:
        return "Nothing is open: every question that only a person can answer is answered.\n"
    described = {
        name: " ".join((field.description or "").split())
        for name, field in About.model_fields.items()
    }
    lines = [
        f"Questions that only a person can answer: {len(names)}. Answer them in the table "
        "`[about]` of the experiment, or in a TOML file that the reporter's setting `about` names:",
        "",
        *(f"- `{name}`: {described[name]}" for name in names),
    ]
    return "\n".join(lines) + "\n"


def _empty_text(fields: Sequence[str]) -> str:
    """List the fields of the DOME entry that a person has to fill in by hand."""
    if not fields:
        return ""
    names = ", ".join(f"`{name}`" for name in fields)
    return f"\nEmpty in `standards_dome.json`, to be filled in before it is submitted: {names}.\n"
