"""JSON Schema of experiments and components, for completion and checks in an editor."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from cellvision import errors
from cellvision.data.decoder_plugins import plugin_suffixes
from cellvision.experiment import Experiment
from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.control import controls
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.exporter import exporters
from cellvision.interfaces.recipe import recipes
from cellvision.interfaces.reporter import reporters
from cellvision.interfaces.splitter import splitters
from cellvision.registry import Registry

REGISTRIES: tuple[Registry[Any], ...] = (
    datasets,
    augmenters,
    architectures,
    recipes,
    splitters,
    controls,
    exporters,
    reporters,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """Return the schema of an experiment file, with the settings of every installed plugin.

    A broken plugin is left out and named in a ``$comment``.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12.

    Examples
    --------
    >>> from cellvision.schema import experiment_schema
    >>> sorted(experiment_schema()["properties"])[:3]
    ['about', 'architecture', 'augmenters']
    """
    schema = Experiment.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    for registry in REGISTRIES:
        definitions[registry.kind] = _choice(registry, definitions)
    properties = schema["properties"]
    for field, registry in (("dataset", datasets), ("architecture", architectures)):
        description = properties[field].get("description")
        properties[field] = {
            **({"description": description} if description else {}),
            "$ref": f"#/$defs/{registry.kind}",
        }
    for field, registry in (("augmenters", augmenters), ("reporters", reporters)):
        properties[field] = _with_items(properties[field], f"#/$defs/{registry.kind}")
    return {"$schema": _DIALECT, **schema}


def component_schema(registry: Registry[Any], name: str) -> dict[str, Any]:
    """Return the schema of one component's settings, including ``type``.

    Raises
    ------
    errors.PluginError
        The name does not lead to a usable class.
    """
    return {"$schema": _DIALECT, **_component(registry, name, "#/$defs/{model}")}


def _component(registry: Registry[Any], name: str, references: str) -> dict[str, Any]:
    cls = registry.get(name)
    schema: dict[str, Any] = cls.model_json_schema(by_alias=False, ref_template=references)
    description = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    type_schema = {"const": name, "description": description}
    return {
        **schema,
        "description": description,
        "properties": {"type": type_schema, **schema.get("properties", {})},
        "required": ["type", *schema.get("required", [])],
    }


def _choice(registry: Registry[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Schema of any installed component: a table, or its name if no setting is required."""
    choices: list[dict[str, Any]] = []
    bare, broken = [], []
    for info in registry.plugins():
        name = info.name if info.status != "conflict" else f"{info.distribution}:{info.name}"
        key = f"{registry.kind}.{name}".replace("/", "_")
        if info.status == "broken":
            broken.append(f"{name}: {info.reason}")
            continue
        try:
            schema = _component(registry, name, f"#/$defs/{key}.{{model}}")
        except Exception as error:  # noqa: BLE001 - a plugin's fields may have no schema
            broken.append(f"{name}: {errors.summarize(error)}")
            continue
        for inner, definition in schema.pop("$defs", {}).items():
            definitions[f"{key}.{inner}"] = definition
        definitions[key] = schema
        choices.append({"$ref": f"#/$defs/{key}"})
        if schema["required"] == ["type"]:
            bare.append(name)
    if bare:
        choices.append({"type": "string", "enum": bare, "description": "The name alone."})
    nothing: list[Any] = [False]
    schema = {"title": registry.kind, "oneOf": choices or nothing}
    if broken:
        schema["$comment"] = "Left out: " + "; ".join(broken)
    return schema


def _with_items(schema: dict[str, Any], reference: str) -> dict[str, Any]:
    """Return a list's schema, also one among alternatives, with other items."""
    if schema.get("type") == "array":
        return {**schema, "items": {"$ref": reference}}
    alternatives = [_with_items(item, reference) for item in schema.get("anyOf", [])]
    return {**schema, "anyOf": alternatives} if alternatives else schema


def named(name: str) -> tuple[Registry[Any], str]:
    """Find the registry of a plugin by its name.

    Parameters
    ----------
    name
        ``deep``, ``architecture:deep``, or with its distribution,
        ``architecture:cellvision-architectures:deep``.

    Returns
    -------
    registry : Registry
        The registry that has it.
    name : str
        Its name in that registry.

    Raises
    ------
    errors.UnknownPlugin
        No plugin has this name, or plugins of several kinds do.
    """
    kind, colon, rest = name.partition(":")
    for registry in REGISTRIES:
        if colon and kind in (registry.kind, f"{registry.kind}s"):
            if not _provides(registry, rest):
                registry.requirement(rest)  # raises, with the nearest name
            return registry, rest
    matching = [registry for registry in REGISTRIES if _provides(registry, name)]
    if len(matching) == 1:
        return matching[0], name
    if matching:
        raise errors.UnknownPlugin(
            f"plugins of {len(matching)} kinds are called {name!r}",
            "Name the kind: " + " or ".join(f"{registry.kind}:{name}" for registry in matching),
        )
    if f".{name.lower()}" in plugin_suffixes():
        raise errors.UnknownPlugin(
            f"{name!r} is a decoder, which has no settings",
            f"Check it with a file of the format: cellvision check {name} --set path=FILE; its "
            "author can write one in a test: see cellvision.testing.DecoderChecks",
        )
    names = [known for registry in REGISTRIES for known in registry.names()]
    near = difflib.get_close_matches(name, names, n=1)
    raise errors.UnknownPlugin(
        f"no plugin is called {name!r}",
        f"Did you mean {near[0]!r}?" if near else "cellvision plugins lists what is installed",
    )


def _provides(registry: Registry[Any], name: str) -> bool:
    try:
        registry.requirement(name)
    except errors.UnknownPlugin:
        return False
    except errors.PluginConflict:
        pass
    return True
