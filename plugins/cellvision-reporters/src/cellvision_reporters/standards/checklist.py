"""Fill the items of a standard with what is known, and list what a person must answer."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from cellvision import About
from cellvision.io import escape_markdown


@dataclass(frozen=True)
class Item:
    """One item of a standard.

    Attributes
    ----------
    id, section, text : str
        Its number, its section, and what it asks for.
    facts : tuple of str
        Keys of facts that answer it.
    about : tuple of str
        Fields of `About` that answer it.
    """

    id: str
    section: str
    text: str
    facts: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standard:
    """A standard with its items.

    Attributes
    ----------
    title, source : str
        Its name, and where it is published.
    items : tuple of Item
        Its items, in order.
    """

    title: str
    source: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Answer:
    """What is known for an item.

    Attributes
    ----------
    item : Item
        The item.
    text : str
        The answer; empty if there is none.
    ask : tuple of str
        Fields of `About` that a person has not filled in.
    """

    item: Item
    text: str
    ask: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether a person still has to answer."""
        return bool(self.ask) or not self.text


def read_standard(name: str) -> Standard:
    """Read a standard that comes with this distribution, such as ``reforms``."""
    path = files("cellvision_reporters.standards") / "data" / f"{name}.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    items = tuple(
        Item(
            each["id"],
            each["section"],
            each["text"],
            tuple(each.get("facts", ())),
            tuple(each.get("about", ())),
        )
        for each in content["items"]
    )
    return Standard(content["title"], content["source"], items)


def answers(standard: Standard, facts: Mapping[str, str], about: About) -> list[Answer]:
    """Answer every item from facts and from the table ``[about]``."""
    return [_answer(item, facts, about) for item in standard.items]


def _answer(item: Item, facts: Mapping[str, str], about: About) -> Answer:
    values: dict[str, Any] = {name: getattr(about, name) for name in item.about}
    written = [str(value) for value in values.values() if value]
    texts = [*(facts[name] for name in item.facts), *written]
    ask = tuple(name for name, value in values.items() if not value)
    return Answer(item, " ".join(text for text in texts if text), ask)


def checklist_text(standard: Standard, answered: Sequence[Answer]) -> str:
    """Write a filled checklist as Markdown."""
    done = sum(not answer.is_open for answer in answered)
    lines = [f"# {standard.title}", "", standard.source, ""]
    lines += [f"{done} of {len(answered)} items are answered in full.", ""]
    for section, group in groupby(answered, key=lambda answer: answer.item.section):
        lines += [f"## {section}", "", "| item | | answer |", "| --- | --- | --- |"]
        for answer in group:
            cells = (*map(escape_markdown, (answer.item.id, answer.item.text)), answer_cell(answer))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def answer_cell(answer: Answer) -> str:
    """Return the answer as plain text in Markdown, and what is open in bold."""
    text = escape_markdown(answer.text)
    if not answer.is_open:
        return text
    asked = ", ".join(answer.ask)
    todo = f"**To answer: about.{asked}**" if answer.ask else "**Not known from this folder.**"
    return f"{text} {todo}".strip()


def open_questions(answered: Sequence[Answer]) -> list[str]:
    """Return the fields of `About` that some item asks for, each once."""
    return list(dict.fromkeys(name for answer in answered for name in answer.ask))
