"""Settings and components: frozen pydantic models that read and write themselves."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, PydanticSerializationError, core_schema

from cellvision import errors
from cellvision.csv_cells import compose_name
from cellvision.registry import Registry

_log = logging.getLogger(__name__)

ColumnName = Annotated[str, AfterValidator(compose_name)]
"""Type of a setting that names a column of a table: accents are composed, as in catalogs."""


class FormerSetting(NamedTuple):
    """The current name of a setting that was renamed.

    Attributes
    ----------
    name : str
        The current name.
    until : str
        Date until which the former name is understood, such as ``2027-06-30``.
    """

    name: str
    until: str


class Settings(BaseModel):
    """A frozen group of settings; unknown names are refused, docstrings document the fields.

    Text settings accept numbers, as their digits: classes and wells may be called 1. A setting
    with an alias is written by its name, and read by either.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    former_settings: ClassVar[Mapping[str, FormerSetting]] = {}
    """Settings that were renamed, by their former names, so that old files and runs still open."""

    @model_validator(mode="before")
    @classmethod
    def _rename_settings(cls, value: Any) -> Any:
        """Replace former names of settings, with a warning."""
        if not isinstance(value, Mapping) or not cls.former_settings.keys() & value.keys():
            return value
        for former in cls.former_settings.keys() & value.keys():
            current, until = cls.former_settings[former]
            if current in value:
                raise ValueError(f"{former!r} is the former name of {current!r}: give one of them")
            _log.warning(
                "the setting %r of %s is now called %r; the former name works until %s. For "
                "experiment files: cellvision migrate FILE",
                former,
                cls.__name__,
                current,
                until,
            )
        return current_settings(cls, value)

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            kind = type(self)
            raise _settings_error(error, kind.__name__, kind) from None

    # Tells pydantic that this __init__ only changes how errors look.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __dir__(self) -> list[str]:
        """Return the settings and the public methods, for completion in a notebook."""
        kept = {"model_copy", "model_dump", "model_dump_json"}
        hidden = set(dir(BaseModel)) - kept
        return [name for name in super().__dir__() if name[0] != "_" and name not in hidden]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> Self:
        """Create an instance from a mapping; errors have one line per wrong setting.

        Parameters
        ----------
        settings
            The values of the fields.
        where
            Origin of the settings, which starts each line of an error.

        Raises
        ------
        errors.ExperimentError
            A setting is unknown, missing or wrong.
        errors.PluginError
            A component among the settings cannot be loaded.
        """
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise _settings_error(error, where, cls) from None

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return plain values, as pydantic does.

        Raises
        ------
        errors.PluginError
            A component has no name, so it could not be read back, or one of its settings cannot
            be written.
        """
        try:
            return super().model_dump(**options)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, errors.CellvisionError):
                raise error.__cause__ from None
            raise _unwritable(self) or error from None

    def model_dump_json(self, **options: Any) -> str:
        """Return JSON, as pydantic does; raises the same errors as `model_dump`."""
        try:
            return super().model_dump_json(**options)
        except PydanticSerializationError:
            self.model_dump(mode="json")  # raises the cause
            raise


def current_settings(model: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the current names of those that were renamed; the order stays."""
    former = model.former_settings
    return {former[key].name if key in former else key: value for key, value in values.items()}


def _unwritable(settings: Settings) -> errors.PluginContractError | None:
    """Return the error that names the setting of a component that cannot be written."""
    for component in nested_components(settings):
        for name in type(component).model_fields:
            try:
                BaseModel.model_dump(component, include={name}, mode="json")
            except PydanticSerializationError:
                origin = component.registry.origin_of(type(component))
                return errors.PluginContractError(
                    f"{origin}: the setting {name!r} is {getattr(component, name)!r:.80}, which "
                    "cannot be written to a file",
                    "Use text, numbers, paths, or lists and tables of them.",
                )
    return None


def fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the keys that are read: names and aliases."""
    fields = dict(model.model_fields)
    aliases = {field.validation_alias: field for field in fields.values()}
    return {key: field for key, field in aliases.items() if isinstance(key, str)} | fields


_LIST = "expected a list"


def _settings_error(
    error: ValidationError, where: str, model: type[BaseModel]
) -> errors.CellvisionError:
    """Turn pydantic's error into ours; the error of a plugin stays what it is."""
    lines: list[str] = []
    hints: list[str] = []
    # Each alternative of a union reports its own message, so these are joined by setting.
    messages: dict[str, list[str]] = {}
    inputs: dict[str, Any] = {}
    for details in error.errors():
        cause = details.get("ctx", {}).get("error")
        path, owner = _location(details["loc"], model)
        name = ".".join(path)
        if isinstance(cause, errors.ExperimentError):  # of a component among the settings
            prefix = _field_prefix(name, cause.what)
            lines += [prefix + line for line in cause.what.splitlines()]
            hints.append(cause.hint)
        elif isinstance(cause, errors.CellvisionError):
            return cause
        elif details["type"] == "extra_forbidden":
            lines.append(f"there is no setting {name!r}")
            hints.append(_nearest_setting(path, owner, where))
        elif details["type"] == "missing":
            lines.append(f"{name} is missing")
            hints.append(_how_to_set(path, owner))
        else:
            messages.setdefault(name, []).append(_message(details))
            inputs.setdefault(name, details["input"])
    for name, alternatives in messages.items():
        prefix = f"{name}: " if name else ""
        if len(alternatives) > 1:
            alternatives = ["a list" if m.startswith(_LIST) else m for m in alternatives]
        message = "; or: ".join(dict.fromkeys(alternatives))
        lines.append(f"{prefix}{message} (given: {inputs[name]!r:.80})")
    what = "\n".join(f"{where}: {line}" for line in lines)
    return errors.ExperimentError(what, "; ".join(dict.fromkeys(hints)) or "Correct the setting")


def _field_prefix(name: str, what: str) -> str:
    """Return the field that holds a component, unless the component's error begins with it."""
    return f"{name}: " if name and not what.startswith(f"{name} ") else ""


def _message(details: ErrorDetails) -> str:
    if details["type"] in ("tuple_type", "list_type"):
        return f"{_LIST}, such as [{details['input']!s:.40}]"
    return details["msg"].removeprefix("Value error, ")


def _nearest_setting(path: Sequence[str], owner: type[BaseModel], where: str) -> str:
    names = [field.alias or name for name, field in owner.model_fields.items()]
    if not names:
        return f"{'.'.join(path[:-1]) or where} has no settings"
    near = difflib.get_close_matches(path[-1], list(fields_by_key(owner)), n=1)
    if near:
        return f"Did you mean {'.'.join((*path[:-1], near[0]))!r}?"
    return f"Settings: {', '.join(names)}"


def _how_to_set(path: Sequence[str], owner: type[BaseModel]) -> str:
    name = ".".join(path)
    field = fields_by_key(owner).get(path[-1])
    kind = field.annotation if field is not None else None
    if isinstance(kind, type) and issubclass(kind, Component):
        return f"Name a {kind.registry.kind} as {name}.type, and set what it needs beside it"
    return f"Set {name}"


def _location(
    loc: Sequence[int | str], model: type[BaseModel]
) -> tuple[list[str], type[BaseModel]]:
    """Return the path of a setting as a file would spell it, and the model it belongs to.

    pydantic's own path also names the alternatives of a union, which no file contains.
    """
    path: list[str] = []
    inner: type[BaseModel] | None = model
    owner = model
    for part in loc:
        if inner is not None:
            owner = inner
            field = fields_by_key(inner).get(str(part))
            kind = field.annotation if field is not None else None
            inner = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        elif isinstance(part, str):
            continue
        path.append(str(part))
    return path, owner


def nested_components(value: Any) -> Iterator[Component]:
    """Yield the components in settings, lists and tables, at any depth; outer ones first."""
    if isinstance(value, Component):
        yield value
    if isinstance(value, Settings):
        value = [item for _, item in value]
    elif isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from nested_components(item)


class Component(Settings):
    """Base class of the interfaces (data set, augmenter, architecture, reporter).

    Fields are settings; methods do the work. Components are cheap to create, compare and
    pickle, and import heavy packages only inside methods. A component is written as
    ``{"type": name, ...}`` and read back from that wherever its interface is the type of a
    field, from Python, JSON, TOML or YAML.

    ``class Dataset(Component, group="cellvision.datasets")`` declares an interface and creates
    its registry, ``Dataset.registry``.
    """

    registry: ClassVar[Registry[Any]]
    _interface: ClassVar[bool] = True

    interface_version: ClassVar[int | None] = None
    """Version of the interface that the class is written for. None: that of the oldest cellvision
    that its distribution requires."""

    former_names: ClassVar[Mapping[str, str]] = {}
    """Names that the plugin had before, each with the date until which it is understood. Every one
    needs an entry point too."""

    def __init_subclass__(cls, group: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._interface = group is not None
        if group is not None:
            cls.registry = Registry(group, cls)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if any("type" in (name, field.alias) for name, field in cls.model_fields.items()):
            raise TypeError(
                f"{cls.__qualname__}: a setting cannot be called 'type', "
                "which holds the component's name"
            )
        constants = [
            name
            for name in cls.model_fields
            for base in cls.__mro__[1:]
            if issubclass(base, Component) and name in base.__class_vars__
        ]
        if constants:
            raise TypeError(
                f"{cls.__qualname__}: {constants[0]!r} is a constant of the class and no setting: "
                f"write {constants[0]}: ClassVar[...] = ..."
            )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not cls._interface:
            return handler(source)
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda component, info: component.model_dump(mode=info.mode), info_arg=True
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if not cls._interface:
            return handler(schema)
        return {
            "type": "object",
            "title": cls.__name__,
            "required": ["type"],
            "properties": {"type": {"enum": list(cls.registry.names())}},
        }

    @classmethod
    def _read(cls, value: Any) -> Self:
        """Return an instance unchanged; create one from a name or ``{"type": name, ...}``."""
        if isinstance(value, cls):
            return value
        kind = cls.registry.kind
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
            raise errors.ExperimentError(
                f"{kind}: expected a name or a table with a 'type', not {value!r:.80}",
                f'For example {{type = "{next(iter(cls.registry), "...")}"}}; '
                f"installed: {', '.join(cls.registry.names())}",
            )
        settings = {str(key): item for key, item in value.items() if key != "type"}
        component: Self = cls.registry.create(value["type"], **settings)
        return component

    @model_validator(mode="before")
    @classmethod
    def _without_type(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "type" not in value:
            return value
        name = value["type"]
        if not isinstance(name, str) or cls.registry.get(name) is not cls:
            raise ValueError(f"type {name!r} is not the name of {cls.__name__}")
        return {key: item for key, item in value.items() if key != "type"}

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": self.registry.name_of(type(self)), **handler(self)}
