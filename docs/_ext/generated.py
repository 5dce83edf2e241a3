"""Reference pages generated from the code: experiment file, plugins and command line."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import cellvision as cv
from cellvision.cli.app import command
from cellvision.registry import Registry

Lines = Iterator[str]

# --- the experiment file -----------------------------------------------------------------


def experiment() -> Lines:
    """Describe every setting of an experiment, from the models."""
    parts = {
        "preprocessing": cv.Preprocessing,
        "split": cv.Split,
        "training": cv.Training,
        "about": cv.About,
    }
    yield from ("## All sections", "")
    yield from settings(cv.Experiment, links=parts)
    yield from ("## `dataset`", "", "Settings of every data set:", "")
    yield from settings(cv.Dataset)
    for name, model in parts.items():
        yield from (f"## `{name}`", "", first_paragraph(model), "")
        yield from settings(model)


def settings(
    model: type[BaseModel], *, without: frozenset[str] = frozenset(), links: Mapping[str, Any] = {}
) -> Lines:
    """Make a table of a model's fields: name, type, default and docstring."""
    rows = []
    for name, field in model.model_fields.items():
        if name in without:
            continue
        shown = field.alias or name
        if name in links:
            rows.append((f"`{shown}`", "table", f"[below](#{name})", field.description or ""))
            continue
        schema = _schema(field.rebuild_annotation())
        if field.is_required():
            default = "*required*"
        elif field.default is PydanticUndefined:
            value = field.get_default(call_default_factory=True)
            default = f"`{_type_name(value) if value else '{}'}`"
        else:
            default = _value(field.default)
        rows.append((f"`{shown}`", in_words(schema), default, literal(field.description or "")))
    if not rows:
        yield from ("No settings.", "")
        return
    yield from table(("setting", "value", "default", ""), rows)


def _schema(annotation: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(annotation).json_schema()


def _type_name(component: Any) -> str:
    # A default may be given as settings, which the experiment validates.
    settings = component if isinstance(component, dict) else component.model_dump()
    return str(settings["type"])


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(value)}`" if isinstance(value, str | list | bool | int | float) else ""


def in_words(schema: Mapping[str, Any]) -> str:
    """Describe the values of a setting, from its JSON Schema."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(in_words(item) for item in schema["anyOf"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(item)}`" for item in schema["enum"])
    match schema.get("type"):
        case "object" if "additionalProperties" in schema and "properties" not in schema:
            return f"table of {in_words(schema['additionalProperties'])}"
        case "object":
            return f"{str(schema.get('title', 'table')).lower()}: a name, or a table with `type`"
        case "array" if "prefixItems" in schema:
            return "[" + ", ".join(in_words(item) for item in schema["prefixItems"]) + "]"
        case "array":
            item = schema["items"]
            one = item.get("title", "").lower() if item.get("type") == "object" else in_words(item)
            return f"list of {one}s" if item.get("type") == "object" else f"list: {one}, ..."
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _bounds(schema)
        case "boolean":
            return "`true` or `false`"
        case "null":
            return "none"
        case "string":
            return "path" if schema.get("format") == "path" else "text"
    return "any"


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    return f" {', '.join(limits)}" if limits else ""


# --- the plugins -------------------------------------------------------------------------

_KINDS: tuple[tuple[str, Registry[Any]], ...] = (
    ("Data sets", cv.datasets),
    ("Augmenters", cv.augmenters),
    ("Architectures", cv.architectures),
    ("Recipes", cv.recipes),
    ("Splitters", cv.splitters),
    ("Controls", cv.controls),
    ("Exporters", cv.exporters),
    ("Reporters", cv.reporters),
)


def plugins() -> Lines:
    """Describe every plugin of this project, from the registries."""
    for title, registry in _KINDS:
        yield from (f"## {title}", "")
        for info in registry.plugins():
            if not info.distribution.startswith("cellvision-"):
                continue
            cls = registry.get(info.name)
            yield from (f"### `{info.name}`", "", *description(cls), "")
            yield from settings(cls, without=frozenset(registry.base.model_fields))


def index() -> Lines:
    """List the distributions with plugins: those installed here, and those named in a list."""
    from importlib import metadata

    rows = {}
    for name in sorted({*_plugin_distributions(), *_listed_distributions()}):
        try:
            found = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            rows[name] = (f"`{name}`", "", "", _listed_distributions()[name])
            continue
        entries = [
            f"{entry.group.rpartition('.')[2].removesuffix('s')} `{entry.name}`"
            for entry in metadata.distribution(name).entry_points
            if entry.group.startswith("cellvision.")
        ]
        needs = next((r for r in metadata.requires(name) or () if _is_cellvision(r)), "")
        rows[name] = (f"`{name}`", found.get("Summary") or "", needs, ", ".join(sorted(entries)))
    yield from table(("distribution", "", "built for", "plugins"), list(rows.values()))


def _is_cellvision(requirement: str) -> bool:
    return re.match(r"cellvision\b(?!-)", requirement) is not None


def _plugin_distributions() -> set[str]:
    """Return the installed distributions with the keyword ``cellvision-plugin``."""
    from importlib import metadata

    return {
        found.metadata["Name"]
        for found in metadata.distributions()
        if "cellvision-plugin" in (found.metadata.get("Keywords") or "")
    }


def _listed_distributions() -> dict[str, str]:
    """Return the distributions in ``docs/plugin-list.txt``, each with its description."""
    lines = (Path(__file__).parents[1] / "plugin-list.txt").read_text(encoding="utf-8")
    rows = [line.split(maxsplit=1) for line in lines.splitlines() if not line.startswith("#")]
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows if row}


def description(cls: type[Any]) -> list[str]:
    """Convert a docstring to Markdown, without its sections."""
    text = inspect.getdoc(cls) or ""
    lines: list[str] = []
    for line in text.splitlines():
        if line and set(line) == {"-"}:
            lines.pop()
            break
        line = line[:-1] if line.endswith("::") else line
        lines.append(line if line.startswith("    ") else literal(line))
    return lines


def literal(text: str) -> str:
    """Escape tags and emphasis of Markdown; code stays code."""
    pieces = re.split(r"(`+[^`]*`+)", text)
    return "".join(
        piece if place % 2 else re.sub(r"([<*_])", r"\\\1", piece)
        for place, piece in enumerate(pieces)
    )


def first_paragraph(cls: type[Any]) -> str:
    """Return the first paragraph of a docstring."""
    return (inspect.getdoc(cls) or "").partition("\n\n")[0]


# --- the command line --------------------------------------------------------------------


def commands() -> Lines:
    """Describe every verb with its arguments and options, from the application."""
    yield from _verbs(command(), "cellvision", "##")


# Newer releases of Typer contain a copy of Click, so its classes have two names.
def _verbs(group: Any, path: str, level: str) -> Lines:
    for name, verb in group.commands.items():
        yield from (f"{level} `{path} {name}`", "", literal(inspect.cleandoc(verb.help or "")), "")
        if hasattr(verb, "commands"):
            yield from _verbs(verb, f"{path} {name}", level + "#")
            continue
        parameters = [item for item in verb.params if item.name != "help"]
        places = [_shown(item) for item in parameters if item.param_type_name == "argument"]
        yield from ("```text", " ".join((path, name, *places, "[OPTIONS]")), "```", "")
        yield from table(("", "default", ""), [_parameter(item) for item in parameters])


def _shown(parameter: Any) -> str:
    value = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return f"{value}..." if parameter.nargs == -1 else str(value)
    flags = "/".join((*parameter.opts, *parameter.secondary_opts))
    return flags if parameter.is_flag else f"{flags} {value}"


def _parameter(parameter: Any) -> tuple[str, str, str]:
    default = parameter.default
    shown = "*required*" if parameter.required else ""
    if not shown and default != "" and isinstance(default, str | float | int | Path):
        shown = "" if isinstance(default, bool) else f"`{default}`"
    return f"`{_shown(parameter)}`", shown, literal(parameter.help or "")


# --- as directives -----------------------------------------------------------------------


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Lines:
    """Make a Markdown table; nothing if there are no rows."""
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        cells = (" ".join(cell.split()).replace("|", "\\|").replace("``", "`") for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _directive(lines: Callable[[], Lines]) -> type[SphinxDirective]:
    class Generated(SphinxDirective):
        """The directive that `lines` generates."""

        def run(self) -> list[nodes.Node]:
            home = nodes.Element()
            home.document = self.state.document
            text = StringList(list(lines()), source=lines.__name__)
            self.state.nested_parse(text, self.content_offset, home, match_titles=True)
            return list(home.children)

    return Generated


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("every-setting", _directive(experiment))
    app.add_directive("every-plugin", _directive(plugins))
    app.add_directive("plugin-index", _directive(index))
    app.add_directive("every-verb", _directive(commands))
    return {"parallel_read_safe": True}
