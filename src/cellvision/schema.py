"""JSON Schema of experiments and components, by which editors complete and check files."""

from __future__ import annotations

import inspect
from typing import Any

from cellvision import errors
from cellvision.experiment import Experiment
from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.recipe import recipes
from cellvision.interfaces.reporter import reporters
from cellvision.registry import Registry

REGISTRIES: tuple[Registry[Any], ...] = (
    datasets,
    augmenters,
    architectures,
    recipes,
    reporters,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """The schema of an experiment file, with the settings of every plugin that is installed.

    A plugin that is broken is left out, and named in a comment.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12.

    Examples
    --------
    >>> from cellvision.schema import experiment_schema
    >>> sorted(experiment_schema()["properties"])[:3]
    ['architecture', 'augmenters', 'dataset']
    """
    schema = Experiment.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    for registry in REGISTRIES:
        definitions[registry.kind] = _choice(registry, definitions)
    properties = schema["properties"]
    for field, registry in (("dataset", datasets), ("architecture", architectures)):
        about = properties[field].get("description")
        properties[field] = {
            **({"description": about} if about else {}),
            "$ref": f"#/$defs/{registry.kind}",
        }
    for field, registry in (("augmenters", augmenters), ("reporters", reporters)):
        properties[field] = _with_items(properties[field], f"#/$defs/{registry.kind}")
    return {"$schema": _DIALECT, **schema}


def component_schema(registry: Registry[Any], name: str) -> dict[str, Any]:
    """The schema of one component's settings, ``type`` among them.

    Raises
    ------
    errors.PluginError
        The name leads to no usable class.
    """
    return {"$schema": _DIALECT, **_component(registry, name, "#/$defs/{model}")}


def _component(registry: Registry[Any], name: str, references: str) -> dict[str, Any]:
    cls = registry.get(name)
    schema: dict[str, Any] = cls.model_json_schema(ref_template=references)
    about = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    chosen = {"const": name, "description": about}
    return {
        **schema,
        "description": about,
        "properties": {"type": chosen, **schema.get("properties", {})},
        "required": ["type", *schema.get("required", [])],
    }


def _choice(registry: Registry[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """One of the installed components: a table, or a bare name where no setting is needed."""
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
        except Exception as error:  # noqa: BLE001 - a stranger's fields may have no schema
            broken.append(f"{name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
            continue
        for inner, definition in schema.pop("$defs", {}).items():
            definitions[f"{key}.{inner}"] = definition
        definitions[key] = schema
        choices.append({"$ref": f"#/$defs/{key}"})
        if schema["required"] == ["type"]:
            bare.append(name)
    if bare:
        choices.append({"type": "string", "enum": bare, "description": "A name alone."})
    none: list[Any] = [False]
    found: dict[str, Any] = {"title": registry.kind, "oneOf": choices or none}
    if broken:
        found["$comment"] = "Left out: " + "; ".join(broken)
    return found


def _with_items(schema: dict[str, Any], reference: str) -> dict[str, Any]:
    """A list's schema, also one among alternatives, with other items."""
    if schema.get("type") == "array":
        return {**schema, "items": {"$ref": reference}}
    alternatives = [_with_items(item, reference) for item in schema.get("anyOf", [])]
    return {**schema, "anyOf": alternatives} if alternatives else schema


def named(name: str) -> tuple[Registry[Any], str]:
    """Find the registry that a plugin's name belongs to.

    Parameters
    ----------
    name
        ``deep``, ``architecture:deep``, or with its distribution,
        ``architecture:cellvision-architectures:deep``.

    Returns
    -------
    registry : Registry
        Where it is offered.
    name : str
        The name there.

    Raises
    ------
    errors.UnknownPlugin
        Nobody offers it, or plugins of more than one kind are called so.
    """
    kind, colon, rest = name.partition(":")
    for registry in REGISTRIES:
        if colon and kind in (registry.kind, f"{registry.kind}s"):
            if not _offers(registry, rest):
                registry.requirement(rest)  # raises, with the nearest name
            return registry, rest
    found = [registry for registry in REGISTRIES if _offers(registry, name)]
    if len(found) == 1:
        return found[0], name
    if found:
        raise errors.UnknownPlugin(
            f"plugins of {len(found)} kinds are called {name!r}",
            "Say which: " + " or ".join(f"{registry.kind}:{name}" for registry in found),
        )
    import difflib

    known = {each: registry for registry in REGISTRIES for each in registry.names()}
    near = difflib.get_close_matches(name, known, n=1)
    raise errors.UnknownPlugin(
        f"no plugin is called {name!r}",
        f"Did you mean {near[0]!r}?" if near else "cellvision plugins lists what is installed",
    )


def _offers(registry: Registry[Any], name: str) -> bool:
    try:
        registry.requirement(name)
    except errors.UnknownPlugin:
        return False
    except errors.PluginConflict:
        pass
    return True
