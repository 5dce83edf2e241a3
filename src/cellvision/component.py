"""A component is its own config: a frozen model that writes itself down and reads itself back."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticSerializationError, core_schema

from cellvision import errors
from cellvision.registry import Registry


class Settings(BaseModel):
    """A frozen group of settings; unknown names are refused, docstrings document fields.

    Where text is asked for, a number counts as its digits: classes and wells are called 1.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        protected_namespaces=(),
    )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> Self:
        """Make one from a mapping, with faults in our words: one line each, with its path.

        Parameters
        ----------
        settings
            The fields' values.
        where
            What they are settings of, for the message.

        Raises
        ------
        errors.ExperimentError
            A setting is unknown, missing or wrong.
        """
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise errors.ExperimentError(*faults(error, where, cls)) from None
        except errors.ExperimentError as error:  # of a component among the settings
            what = "\n".join(f"{where}: {line}" for line in error.what.splitlines())
            raise errors.ExperimentError(what, error.hint) from None

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Give plain values, as pydantic does.

        Raises
        ------
        errors.PluginError
            A component has no name by which it could be read back.
        """
        try:
            return super().model_dump(**options)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, errors.CellvisionError):
                raise error.__cause__ from None
            raise

    def model_dump_json(self, **options: Any) -> str:
        """Give JSON, as pydantic does; raises as `model_dump`."""
        try:
            return super().model_dump_json(**options)
        except PydanticSerializationError:
            self.model_dump(mode="json")  # which tells the cause
            raise


def faults(error: ValidationError, where: str, model: type[BaseModel]) -> tuple[str, str]:
    """Turn pydantic's faults into *what* (a line each) and *how to mend it*."""
    lines: list[str] = []
    mends: list[str] = []
    wrong: dict[str, list[str]] = {}
    given: dict[str, Any] = {}
    for fault in error.errors():
        parts, owner = _place(fault["loc"], model)
        path = ".".join(parts)
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: there is no setting {path!r}")
            names = [field.alias or name for name, field in owner.model_fields.items()]
            near = difflib.get_close_matches(parts[-1], names, n=1)
            mends.append(
                f"Did you mean {'.'.join((*parts[:-1], near[0]))!r}?"
                if near
                else f"Settings: {', '.join(names)}"
            )
        elif fault["type"] == "missing":
            lines.append(f"{where}: {path} is missing")
        else:
            # Each alternative of a setting that may be one of several things has a fault.
            wrong.setdefault(path, []).append(fault["msg"].removeprefix("Value error, "))
            given.setdefault(path, fault["input"])
    for path, messages in wrong.items():
        at = f"{path}: " if path else ""
        told = "; or: ".join(dict.fromkeys(messages))
        lines.append(f"{where}: {at}{told} (given: {given[path]!r:.80})")
    return "\n".join(lines), "; ".join(dict.fromkeys(mends)) or "Correct the setting"


def _place(loc: Sequence[int | str], model: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """Where a fault is, in words that a settings file has, and the model that it is in.

    pydantic's own path also names the alternatives of a union, which say nothing to a reader.
    """
    parts: list[str] = []
    inner: type[BaseModel] | None = model
    owner = model
    for part in loc:
        if inner is not None:
            owner = inner
            known = {field.alias or name: field for name, field in inner.model_fields.items()}
            field = known.get(str(part))
            kind = field.annotation if field is not None else None
            inner = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        elif isinstance(part, str):
            continue
        parts.append(str(part))
    return parts, owner


class Component(Settings):
    """The base of the four interfaces.

    A component's fields are its settings and its methods do the work. It is cheap to make, to
    compare and to pickle; heavy imports live inside its methods. It writes itself as
    ``{"type": name, ...}`` and is read back from that wherever its interface is a field's
    type, from Python, JSON, TOML or YAML.

    An interface is declared with ``class Dataset(Component, group="cellvision.datasets")``
    and thereby has its registry as ``Dataset.registry``.
    """

    registry: ClassVar[Registry[Any]]
    _interface: ClassVar[bool] = True

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
                f"{cls.__qualname__}: a setting cannot be called 'type', for that "
                "stands for the component's name"
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
        """An instance as it is, or one made from ``{"type": name, ...}`` or a bare name."""
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
        made: Self = cls.registry.create(value["type"], **settings)
        return made

    @model_validator(mode="before")
    @classmethod
    def _without_type(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "type" not in value:
            return value
        name = value["type"]
        if not isinstance(name, str) or cls.registry.get(name) is not cls:
            raise ValueError(f"type {name!r} is not that of {cls.__name__}")
        return {key: item for key, item in value.items() if key != "type"}

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": self.registry.name_of(type(self)), **handler(self)}
