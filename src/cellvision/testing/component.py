"""The checks that all interfaces share."""

from __future__ import annotations

import unittest
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import errors
from cellvision.local_plugins import local_file_of
from cellvision.plugin_candidates import REGISTERED
from cellvision.registry import Registry
from cellvision.testing.conformance import Checks, conformance_check
from cellvision.testing.process import Process, ProcessFault, resolve
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from pydantic import JsonValue

    from cellvision.component import Component
    from cellvision.experiment import Experiment

__all__ = ["ComponentChecks", "conformance_check", "from_reference"]

HEAVY = ("jax", "keras", "tensorflow", "torch")
"""What an entry point must not import: listing plugins would take seconds."""

_SLOW_IMPORT = 2.0
"""Seconds after which importing one module counts as slow."""


class ComponentChecks(Checks):
    """Base class of the checks of every interface."""

    registry: ClassVar[Registry[Any]]

    def settings(self, folder: Any) -> Mapping[str, Any]:
        """Return the example's settings. Override it to write files that they need to `folder`."""
        del folder
        return self.example

    @property
    def cls(self) -> type[Any]:
        """Class of the plugin."""
        name = self._plugin_name
        self.once("its requirements", "test_fits_this_cellvision", self._requirements_of_ours)
        loaded: type[Any] = self.once("loading", "test_loads", lambda: self.registry.get(name))
        return loaded

    def _requirements_of_ours(self) -> list[Requirement] | None:
        """Return what its distribution needs of cellvision; None if it has no distribution.

        Raises
        ------
        CheckFailed
            This cellvision does not fit.
        """
        import importlib_metadata
        from packaging.requirements import Requirement

        try:
            distribution = self.registry.info(self._plugin_name).distribution
        except errors.PluginError:
            return None  # test_loads reports it
        if distribution == REGISTERED:
            return None
        lines = importlib_metadata.requires(distribution) or ()
        ours = [need for need in map(Requirement, lines) if need.name == "cellvision"]
        version = importlib_metadata.version("cellvision")
        for need in ours:
            if not need.specifier.contains(version, prereleases=True):
                raise CheckFailed(
                    f"{distribution} needs {need}, and this is {version}",
                    f"Install a version that fits: python -m pip install {str(need)!r}; or widen "
                    "the range in its pyproject.toml.",
                )
        return ours

    @property
    def _plugin_name(self) -> str:
        if not self.name:
            raise CheckFailed(
                f"{type(self).__name__} names no plugin", 'Name the plugin: name = "..."'
            )
        return self.name

    @property
    def component(self) -> Component:
        """The example."""

        def create() -> Component:
            folder = self.folder / "example"
            folder.mkdir(exist_ok=True)
            component: Component = self.registry.create(self._plugin_name, **self.settings(folder))
            return component

        assert self.cls is not None
        return self.once("creating the example", "test_takes_its_example", create)

    @property
    def plain(self) -> dict[str, JsonValue]:
        """The example as plain values, as they go into a file."""
        component = self.component
        return self.once(
            "saving the example", "test_survives_json", lambda: component.model_dump(mode="json")
        )

    def to_reference(self) -> dict[str, JsonValue]:
        """Return the example in a form that another process can create it from.

        The keys are the arguments of `from_reference`.

        Raises
        ------
        unittest.SkipTest
            The class was registered in this process and has no module to import it from.
        """
        info = self.registry.info(self._plugin_name)
        if local_file_of(self.cls) is not None:
            return {"reference": self._reference(info.module), "settings": self.plain}
        if info.distribution == REGISTERED and not _importable(info.module):
            raise unittest.SkipTest(
                "registered in this process: another process cannot import the class"
            )
        return {"reference": info.module, "settings": self.plain}

    def _reference(self, module: str) -> str:
        """Return how another process finds the class: its module, or its file if it is local."""
        file = local_file_of(self.cls)
        return module if file is None else f"{file.path}:{self.cls.__qualname__}"

    def experiment(self, **changes: Any) -> Experiment:
        """Return a small experiment that contains the example."""
        from cellvision.testing.examples import example_experiment

        kind = self.registry.kind
        if kind in ("augmenter", "reporter"):
            changes = {f"{kind}s": (self.component,), **changes}
        elif kind in ("architecture", "dataset"):
            changes = {kind: self.component, **changes}
        return example_experiment(**changes)

    @conformance_check
    def test_loads(self) -> None:
        """Its name leads to one class of the right interface that can be imported."""
        self.require(self.cls, "there is no class", "")

    @conformance_check
    def test_fits_this_cellvision(self) -> None:
        """Its distribution declares which versions of cellvision it needs, and this one fits."""
        name = self._plugin_name
        ours = self.once(
            "its requirements", "test_fits_this_cellvision", self._requirements_of_ours
        )
        distribution = self.once(
            "finding its distribution",
            "test_loads",
            lambda: self.registry.info(name).distribution,
        )
        if distribution == REGISTERED:
            raise unittest.SkipTest("registered in this process: it has no distribution")
        self.require(
            ours or distribution == "cellvision",
            f"{distribution} does not declare that it needs cellvision",
            'In its pyproject.toml: dependencies = ["cellvision>=0.1,<0.2"]',
        )

    @conformance_check
    def test_loads_alone_and_cheaply(self) -> None:
        """In a new process, importing it takes less than 2 seconds and imports no keras."""
        name = self._plugin_name
        module = self.once(
            "finding its module", "test_loads", lambda: self.registry.info(name).module
        )
        assert self.cls is not None
        try:
            reference = self.to_reference()
        except CheckFailed:
            # Another check fails for it.
            reference = {"reference": self._reference(module), "settings": None}
        except unittest.SkipTest:
            if not _importable(module):
                raise
            reference = {"reference": module, "settings": None}
        heavy, seconds = loaded_alone(reference)
        self.require(
            not heavy,
            f"importing {module} imports {', '.join(heavy)}",
            "Import them inside the methods that need them, and types under TYPE_CHECKING.",
        )
        if seconds > _SLOW_IMPORT:
            seconds = min(seconds, loaded_alone(reference)[1])  # the machine may be busy
        self.require(
            seconds <= _SLOW_IMPORT,
            f"importing {module} takes {seconds:.1f} s",
            "Move what takes long into the methods that need it.",
        )

    @conformance_check
    def test_takes_its_example(self) -> None:
        """It can be created from the example's settings; equal settings give equal components."""
        again = self.registry.create(self._plugin_name, **self.component.model_dump())
        self.require(
            self.component == again,
            "two components of equal settings are not equal",
            "Keep all state in fields: components are compared by them.",
        )

    @conformance_check
    def test_is_documented(self) -> None:
        """The class and each of its settings have a docstring."""
        cls = self.cls
        self.require(
            (cls.__doc__ or "").strip().partition("\n")[0],
            f"{cls.__name__} has no docstring, or one that begins with an empty line",
            "Write a first line; `cellvision plugins` shows it.",
        )
        for field, about in cls.model_fields.items():
            self.require(
                (about.description or "").strip(),
                f"setting {field!r} is not documented",
                "Write a docstring under the field: meaning, unit, range.",
            )

    @conformance_check
    def test_has_a_schema(self) -> None:
        """Its settings have a JSON Schema, with which editors complete experiment files."""
        import json

        cls = self.cls
        schema = self.once("creating the schema", "test_has_a_schema", cls.model_json_schema)
        text = json.dumps(schema)
        self.require(
            all(f'"{field}"' in text for field in cls.model_fields),
            "a setting is missing from its JSON Schema",
            "Do not override model_json_schema.",
        )

    @conformance_check
    def test_survives_json(self) -> None:
        """Saved in a JSON experiment and loaded again, it is equal."""
        assert self.plain is not None
        self._round_trip(".json")

    @conformance_check
    def test_survives_toml(self) -> None:
        """Saved in a TOML experiment and loaded again, it is equal."""
        self._round_trip(".toml")

    @conformance_check
    def test_survives_yaml(self) -> None:
        """Saved in a YAML experiment and loaded again, it is equal."""
        self._round_trip(".yaml")

    def _round_trip(self, suffix: str) -> None:
        from cellvision.experiment import load_experiment, save_experiment
        from cellvision.testing.examples import example_plugins

        assert self.plain is not None
        with example_plugins():
            experiment = self.experiment()
            try:
                loaded = load_experiment(
                    save_experiment(experiment, self.folder / f"experiment{suffix}")
                )
            except errors.InvalidInput as error:
                raise CheckFailed(error.what, error.hint) from error
        self.require(
            loaded == experiment,
            f"it changes when it is saved as {suffix} and loaded",
            "Give fields types that pydantic reads back unchanged; make paths in the example "
            "absolute.",
        )

    @conformance_check
    def test_survives_pickle(self) -> None:
        """Pickled and unpickled, as for another process, it is equal."""
        import pickle

        component = self.component
        info = self.registry.info(self._plugin_name)
        if info.distribution == REGISTERED and not _importable(info.module):
            raise unittest.SkipTest("registered in this process: pickle cannot find the class")
        try:
            loaded = pickle.loads(pickle.dumps(component))  # noqa: S301 - we wrote it
        except Exception as error:
            raise CheckFailed(
                f"it cannot be pickled: {errors.first_line(error)}",
                "Define the class at the top level of a module; keep open files out of fields.",
            ) from error
        self.require(
            loaded == component, "it changes when it is pickled", "Keep all state in fields."
        )

    @conformance_check
    def test_refuses_wrong_settings(self) -> None:
        """Unknown settings and wrong values are refused with an error that names the setting."""
        right = self.component.model_dump()
        attempts = {
            "no_such_setting": 1,
            **{field: _NotAValue() for field in self.cls.model_fields},
            **self.invalid_settings,
        }
        for field, value in attempts.items():
            try:
                self.registry.create(self._plugin_name, **{**right, field: value})
            except errors.ExperimentError as error:
                self.require(
                    field in str(error),
                    f"the error about a wrong {field!r} does not name it: {error.what}",
                    "Let pydantic check the field, or raise ValueError in a field_validator.",
                )
            except Exception as error:
                raise CheckFailed(
                    f"a wrong {field!r} raises {errors.summarize(error)}",
                    "Raise ValueError in validators; pydantic adds the field's name.",
                ) from error
            else:
                self.require(
                    False,
                    f"setting {field!r} accepts {value!r}",
                    "Give the field a type, or bounds by pydantic.Field(ge=..., le=...).",
                )


class _NotAValue:
    """Fits the type of no setting."""

    def __repr__(self) -> str:
        return "an object of no known type"


def from_reference(reference: str, settings: Mapping[str, Any]) -> Any:
    """Create the example in another process from what `ComponentChecks.to_reference` returned."""
    return resolve(reference).model_validate(settings)


def _importable(module: str) -> bool:
    return not module.startswith("__main__") and "<locals>" not in module


def loaded_alone(reference: Mapping[str, Any]) -> tuple[list[str], float]:
    """Import the plugin in a new process; return its heavy imports and the seconds it took."""
    with Process() as process:
        try:
            heavy, seconds = process.call(_load_here, **reference)
        except ProcessFault as fault:
            raise CheckFailed(
                f"alone in a new process: {fault}", "Its module must import all that it needs."
            ) from fault
    return heavy, seconds


def _load_here(reference: str, settings: Mapping[str, Any] | None) -> tuple[list[str], float]:
    import sys
    import time

    import numpy  # noqa: F401 - what cellvision imports anyway does not count
    import pandas  # noqa: F401
    import pydantic  # noqa: F401

    import cellvision.experiment  # noqa: F401

    start, waited = time.perf_counter(), _seconds_without_processor()
    cls = resolve(reference)
    seconds = time.perf_counter() - start - (_seconds_without_processor() - waited)
    if settings is not None:
        cls.model_validate(settings)
    return [name for name in HEAVY if name in sys.modules], seconds


def _seconds_without_processor() -> float:
    """Return how long this process has waited for others to run; 0 if the system does not say."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
