"""The checks that all four interfaces share, and how checks are counted."""

from __future__ import annotations

import functools
import tempfile
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cellvision import errors
from cellvision.registry import REGISTERED, Registry
from cellvision.testing.process import Process, ProcessFault, imported
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    from cellvision.component import Component
    from cellvision.experiment import Experiment

T = TypeVar("T")

HEAVY = ("jax", "keras", "tensorflow", "torch")
"""What an entry point must not import: listing plugins would take seconds."""


def conformance_check(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Mark a method as a check: it must demand something, or it fails for that."""

    @functools.wraps(check)
    def counted(self: ComponentChecks) -> None:
        self._demands, self._running = 0, check.__name__
        check(self)
        if not self._demands:
            raise CheckFailed(
                f"{check.__name__} ended without having demanded anything",
                "Give an example that it can examine: one with images, files or settings",
            )

    counted._of_the_kit = True  # type: ignore[attr-defined]
    return counted


class ComponentChecks:
    """What the checks of each interface inherit.

    Attributes
    ----------
    name : str
        The plugin's name, or ``"distribution:name"``.
    example : Mapping
        Settings that make a small, quick, typical component. Override `settings` instead where
        they need files.
    wrong : Mapping
        For some settings, a value that must be refused, such as ``{"dense": 0}``. Values of a
        wrong type are tried anyway.
    expected_failures : Mapping
        Checks that this plugin is known and meant to fail, each with its reason. One that
        passes all the same is a failure.
    """

    name: ClassVar[str] = ""
    example: ClassVar[Mapping[str, Any]] = {}
    invalid_settings: ClassVar[Mapping[str, Any]] = {}
    expected_failures: ClassVar[Mapping[str, str]] = {}

    registry: ClassVar[Registry[Any]]
    _made: ClassVar[dict[str, Any]]
    _demands = 0
    _running = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._made = {}
        for check, reason in cls.expected_failures.items():
            if check not in cls.checks():
                raise TypeError(f"{cls.__name__}.expected_failures: there is no check {check!r}")
            if not reason.strip():
                raise TypeError(f"{cls.__name__}.expected_failures: {check} needs a reason")

    @classmethod
    def checks(cls) -> tuple[str, ...]:
        """The names of all checks of the interface, in the order in which they are run."""
        return tuple(
            name
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if getattr(value, "_of_the_kit", False)
        )

    # --- what checks are made of ----------------------------------------------------------

    def require(self, holds: object, what: str, hint: str) -> None:
        """Fail unless something holds.

        Raises
        ------
        CheckFailed
            It does not.
        """
        self._demands += 1
        if not holds:
            raise CheckFailed(what, hint)

    def once(self, what: str, owner: str, make: Callable[[], T]) -> T:
        """Make something that several checks need, once for the class.

        Where that fails, the check `owner` fails for it; the others are skipped, so that one
        fault is one failure.
        """
        if what not in self._made:
            try:
                self._made[what] = make()
            except unittest.SkipTest:
                raise
            except CheckFailed as failed:
                self._made[what] = failed
            except Exception as error:  # noqa: BLE001 - a stranger's code
                fault = CheckFailed(
                    f"{what}: {errors.summarize(error)}",
                    getattr(error, "hint", "") or "The traceback leads to the place",
                )
                fault.__cause__ = error
                self._made[what] = fault
        found = self._made[what]
        if not isinstance(found, CheckFailed):
            return found  # type: ignore[no-any-return]
        if self._running == owner:
            self._demands += 1
            raise found
        raise unittest.SkipTest(f"needs {owner} to pass first")

    @property
    def folder(self) -> Path:
        """A folder for this class's files; it is removed in the end."""
        if "folder" not in self._made:
            made = tempfile.TemporaryDirectory(prefix="cellvision-", ignore_cleanup_errors=True)
            self._made["folder"] = made
        return Path(self._made["folder"].name)

    def settings(self, folder: Path) -> Mapping[str, Any]:
        """The example's settings; override where it needs files, and write them to `folder`."""
        del folder
        return self.example

    @property
    def cls(self) -> type[Any]:
        """The plugin's class."""
        found: type[Any] = self.once(
            "loading", "test_loads", lambda: self.registry.get(self._named)
        )
        return found

    @property
    def _named(self) -> str:
        if not self.name:
            raise CheckFailed(
                f"{type(self).__name__} names no plugin", 'Give its name: name = "..."'
            )
        return self.name

    @property
    def component(self) -> Component:
        """The example."""

        def make() -> Component:
            folder = self.folder / "example"
            folder.mkdir(exist_ok=True)
            made: Component = self.registry.create(self._named, **self.settings(folder))
            return made

        assert self.cls is not None
        return self.once("making the example", "test_takes_its_example", make)

    @property
    def plain(self) -> dict[str, Any]:
        """The example as plain values, as they go into a file."""
        component = self.component
        return self.once(
            "writing down", "test_survives_json", lambda: component.model_dump(mode="json")
        )

    def there(self) -> dict[str, Any]:
        """The example as another process can make it: arguments for `arrived`."""
        return {"reference": self.registry.info(self._named).module, "settings": self.plain}

    def experiment(self, **changes: Any) -> Experiment:
        """A small experiment with the example in its place."""
        from cellvision.testing.examples import example_experiment

        kind = self.registry.kind
        several = kind in ("augmenter", "reporter")
        place: dict[str, Any] = {f"{kind}s": (self.component,)} if several else {}
        return example_experiment(**{**(place or {kind: self.component}), **changes})

    # --- the checks ------------------------------------------------------------------------

    @conformance_check
    def test_kit_is_whole(self) -> None:
        """No check of the kit is replaced or taken out."""
        for check in self.checks():
            inherited = [vars(base)[check] for base in type(self).__mro__ if check in vars(base)]
            self.require(
                getattr(inherited[0], "_of_the_kit", False)
                and inherited[0].__module__.startswith("cellvision.testing"),
                f"{type(self).__name__} replaces {check}",
                "Name it in expected_failures, with the reason, and leave it as it is",
            )

    @conformance_check
    def test_loads(self) -> None:
        """Its name leads to one class of the right interface that can be imported."""
        self.require(self.cls, "there is no class", "")

    @conformance_check
    def test_fits_this_cellvision(self) -> None:
        """Its distribution says which versions of cellvision it works with: this one too."""
        import importlib_metadata
        from packaging.requirements import Requirement

        name = self._named
        distribution = self.once(
            "finding its distribution",
            "test_loads",
            lambda: self.registry.info(name).distribution,
        )
        if distribution == REGISTERED:
            raise unittest.SkipTest("registered in this process: it has no distribution")
        asked = [Requirement(line) for line in importlib_metadata.requires(distribution) or ()]
        ours = [requirement for requirement in asked if requirement.name == "cellvision"]
        self.require(
            ours or distribution == "cellvision",
            f"{distribution} does not say that it needs cellvision",
            'In its pyproject.toml: dependencies = ["cellvision>=0.1,<0.2"]',
        )
        version = importlib_metadata.version("cellvision")
        for requirement in ours:
            self.require(
                requirement.specifier.contains(version, prereleases=True),
                f"{distribution} needs {requirement}, and this is {version}",
                f"Install what fits: python -m pip install {str(requirement)!r}, or widen the "
                "range in its pyproject.toml",
            )

    @conformance_check
    def test_loads_alone_and_cheaply(self) -> None:
        """In a new process, importing it and making the example imports no keras."""
        reference = self.once(
            "finding its module", "test_loads", lambda: self.registry.info(self._named).module
        )
        assert self.cls is not None
        self.require(
            not reference.startswith("__main__") and "<locals>" not in reference,
            f"{reference} cannot be imported by another process",
            "Move the class to the top level of a module",
        )
        try:
            settings = self.plain
        except (CheckFailed, unittest.SkipTest):
            settings = None  # another check tells
        with Process() as process:
            try:
                found = process.call(_loaded_alone, reference=reference, settings=settings)
            except ProcessFault as fault:
                raise CheckFailed(
                    f"alone in a new process: {fault}",
                    "Its module must import all that it needs by itself",
                ) from fault
        self.require(
            not found,
            f"importing {reference} imports {', '.join(found)}",
            "Import them inside the methods that need them; types under TYPE_CHECKING",
        )

    @conformance_check
    def test_takes_its_example(self) -> None:
        """It can be made from the example's settings; equal settings make equal components."""
        again = self.registry.create(self._named, **self.component.model_dump())
        self.require(
            self.component == again,
            "two components of equal settings are not equal",
            "Keep all state in fields; they are what is compared",
        )

    @conformance_check
    def test_is_documented(self) -> None:
        """The class and each of its settings have a docstring of their own."""
        cls = self.cls
        self.require(
            (cls.__doc__ or "").strip().partition("\n")[0],
            f"{cls.__name__} has no docstring, or one that begins with an empty line",
            "Its first line is what `cellvision plugins` shows",
        )
        for field, about in cls.model_fields.items():
            self.require(
                (about.description or "").strip(),
                f"setting {field!r} is not documented",
                "Write a docstring under the field: meaning, unit, range",
            )

    @conformance_check
    def test_has_a_schema(self) -> None:
        """Its settings have a JSON Schema, by which editors complete experiment files."""
        import json

        cls = self.cls
        schema = self.once("making the schema", "test_has_a_schema", cls.model_json_schema)
        text = json.dumps(schema)
        self.require(
            all(f'"{field}"' in text for field in cls.model_fields),
            "a setting is missing in its JSON Schema",
            "Leave model_json_schema as pydantic makes it",
        )

    @conformance_check
    def test_survives_json(self) -> None:
        """Written to a JSON experiment and read back, it is equal."""
        assert self.plain is not None
        self._round_trip(".json")

    @conformance_check
    def test_survives_toml(self) -> None:
        """Written to a TOML experiment and read back, it is equal."""
        self._round_trip(".toml")

    @conformance_check
    def test_survives_yaml(self) -> None:
        """Written to a YAML experiment and read back, it is equal."""
        self._round_trip(".yaml")

    def _round_trip(self, suffix: str) -> None:
        from cellvision.experiment import load_experiment, save_experiment
        from cellvision.testing.examples import example_plugins

        assert self.plain is not None
        with example_plugins():
            experiment = self.experiment()
            try:
                back = load_experiment(
                    save_experiment(experiment, self.folder / f"experiment{suffix}")
                )
            except errors.InvalidInput as error:
                raise CheckFailed(error.what, error.hint) from error
        self.require(
            back == experiment,
            f"it changes when it is written as {suffix} and read back",
            "Give fields types that pydantic reads back as they were; in the example, make "
            "paths absolute",
        )

    @conformance_check
    def test_survives_pickle(self) -> None:
        """Pickled and unpickled, as for another process, it is equal."""
        import pickle

        component = self.component
        try:
            back = pickle.loads(pickle.dumps(component))  # noqa: S301 - we wrote it
        except Exception as error:
            raise CheckFailed(
                f"it cannot be pickled: {errors.first_line(error)}",
                "Define the class at the top level of a module; keep open files out of fields",
            ) from error
        self.require(back == component, "it changes when it is pickled", "Keep all state in fields")

    @conformance_check
    def test_refuses_wrong_settings(self) -> None:
        """Unknown settings and wrong values are refused, naming the setting."""
        right = self.component.model_dump()
        attempts = {
            "no_such_setting": 1,
            **{field: _NotAValue() for field in self.cls.model_fields},
            **self.invalid_settings,
        }
        for field, value in attempts.items():
            try:
                self.registry.create(self._named, **{**right, field: value})
            except errors.ExperimentError as error:
                self.require(
                    field in str(error),
                    f"the error for a wrong {field!r} does not name it: {error.what}",
                    "Let pydantic check the field, or raise ValueError in a field_validator",
                )
            except Exception as error:
                raise CheckFailed(
                    f"a wrong {field!r} raises {errors.summarize(error)}",
                    "Raise ValueError in validators; pydantic tells it with the field's name",
                ) from error
            else:
                self.require(
                    False,
                    f"setting {field!r} takes {value!r}",
                    "Give the field a type, or constraints by pydantic.Field(ge=..., le=...)",
                )


class _NotAValue:
    """Fits no type of setting."""

    def __repr__(self) -> str:
        return "anything at all"


def arrived(reference: str, settings: Mapping[str, Any]) -> Any:
    """Make the example in another process; the arguments are those of `there`."""
    return imported(reference).model_validate(settings)


def _loaded_alone(reference: str, settings: Mapping[str, Any] | None) -> list[str]:
    import sys

    cls = imported(reference)
    if settings is not None:
        cls.model_validate(settings)
    return [name for name in HEAVY if name in sys.modules]
