"""Plugin registry: maps names to classes, built-in and third-party alike.

Names come from the metadata of installed distributions, without importing anything; a class is
imported when its name is used. A plugin that cannot be imported raises an error only when used.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from cellvision import (
    errors,
    interface_versions,
    notebook_html,
    plugin_errors,
    plugin_listing,
    plugin_source,
    plugin_trace,
)
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS
from cellvision.plugin_candidates import (
    REGISTERED,
    PluginCandidate,
    forget_installed,
    installed_candidates,
    is_disabled,
    matching,
    preferred,
    qualified_name,
    recorded_name,
)
from cellvision.plugin_info import PluginInfo, Status
from cellvision.plugin_trace import Load

_log = logging.getLogger(__name__)


class Configurable(Protocol):
    """A class whose instances are created from settings, such as a component."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> Self:
        """Create an instance; `where` names the origin of the settings in errors."""
        ...


T = TypeVar("T", bound=Configurable)
C = TypeVar("C", bound=type[Any])
"""A class that a decorator returns as it is, so that type checkers keep its own settings."""


class Registry(Generic[T]):
    """Classes of one interface, by name.

    Parameters
    ----------
    group
        Entry-point group, such as ``cellvision.datasets``.
    base
        Interface that every class of the group must derive from.

    Examples
    --------
    >>> import cellvision as cv
    >>> "deep" in cv.architectures.names()
    True
    >>> cv.architectures.create("deep", dense=50)
    Deep(dense=50)
    """

    def __init__(self, group: str, base: type[T]) -> None:
        self.group = group
        self.base = base
        self._registered: dict[str, PluginCandidate] = {}
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        shown = ", ".join(self.names())
        return f"<Registry {self.group}: {shown if len(shown) < 200 else f'{shown[:199]}…'}>"

    def _repr_html_(self) -> str:
        rows = [
            (plugin.name, plugin.description or plugin.reason, plugin.distribution)
            for plugin in self.plugins()
        ]
        head = (self.kind, "description", "distribution")
        return notebook_html.document(f"Registry {self.group}", notebook_html.table(head, rows))

    @property
    def kind(self) -> str:
        """Singular noun for its plugins, such as ``dataset``."""
        return self.group.rpartition(".")[2].removesuffix("s")

    def names(self) -> tuple[str, ...]:
        """Return all available names, sorted; nothing is imported."""
        return tuple(sorted({candidate.name for candidate in self._candidates()}))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._matching(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _candidates(self) -> list[PluginCandidate]:
        enabled = [c for c in installed_candidates(self.group) if not is_disabled(c)]
        return [*enabled, *self._registered.values()]

    def rescan(self) -> None:
        """Forget the installed names; the next use reads them again."""
        forget_installed()

    def qualified(self, name: str, distribution: str) -> str:
        """Return ``distribution:name`` if other distributions provide the name too, else the name.

        Parameters
        ----------
        name
            A name without distribution.
        distribution
            The distribution to choose; if it does not provide the name, the name is returned.
        """
        return qualified_name(self._candidates(), name, distribution)

    def default(self, name: str) -> str:
        """Return what a default of cellvision means by a name: the plugin of this project."""
        known = KNOWN_DISTRIBUTIONS.get(self.group, {})
        home = next((d for d, provided in known.items() if name in provided), "")
        return self.qualified(name, home)

    def recorded(self, name: str, requirement: str) -> str:
        """Return the name for a plugin of a record; see `plugin_candidates.recorded_name`."""
        return recorded_name(self._candidates(), name, requirement)

    def _matching(self, name: str) -> list[PluginCandidate]:
        return matching(self._candidates(), name)

    def _candidate(self, name: str) -> PluginCandidate:
        """Return the only candidate for a name; raise an error if there is none or several."""
        chosen = preferred(self._matching(name))
        if not chosen:
            raise plugin_errors.unknown(self.group, self.kind, name, self._candidates())
        if len(chosen) > 1:
            raise plugin_errors.conflict(self.kind, name, chosen)
        return chosen[0]

    def get(self, name: str) -> type[T]:
        """Import and return the class behind a name.

        Parameters
        ----------
        name
            A name, or ``"distribution:name"`` if several distributions provide it.

        Raises
        ------
        errors.UnknownPlugin
            No distribution provides it; the message suggests the closest name.
        errors.PluginConflict
            Several distributions provide it; the message names them.
        errors.BrokenPlugin
            It cannot be imported; the cause is chained.
        errors.PluginContractError
            The imported object is not a usable class of this interface.
        """
        return self._load(self._candidate(name))

    def _load(self, candidate: PluginCandidate) -> type[T]:
        # Before the import, which may fail for want of what a newer cellvision has.
        self._refuse(candidate, interface_versions.needs_newer(candidate.requires))
        start = time.perf_counter()
        fault = ""
        try:
            loaded = candidate.load()
        except (Exception, SystemExit) as error:
            fault = errors.summarize(error)
            raise errors.BrokenPlugin(
                f"{self.kind} {candidate.name!r} ({candidate.origin}) cannot be imported: {fault}",
                f"Fix or update it: python -m pip install --upgrade {candidate.distribution}",
            ) from error
        finally:
            if candidate.entry_point is not None:
                plugin = f"{self.kind} {candidate.full_name}"
                plugin_trace.record(Load(plugin, time.perf_counter() - start, fault))
        cls = self._checked(loaded, candidate.name, candidate.origin)
        declared = getattr(cls, "interface_version", None)
        requires = candidate.requires
        self._refuse(candidate, interface_versions.refusal(self.group, declared, requires))
        self._warn_of_former_name(cls, candidate)
        return cls

    def _checked(self, loaded: Any, name: str, origin: str) -> type[T]:
        """Return the class; raise an error if it breaks the interface's contract."""
        what = f"{self.kind} {name!r} ({origin})"
        plugin_errors.require_class(loaded, self.base, name, what)
        cls: type[T] = loaded
        return cls

    def _refuse(self, candidate: PluginCandidate, reason: str) -> None:
        if reason:
            what = f"{self.kind} {candidate.name!r} ({candidate.origin}) {reason}"
            raise errors.PluginContractError(what, candidate.how_to_update)

    def _warn_of_former_name(self, cls: type[T], candidate: PluginCandidate) -> None:
        until = getattr(cls, "former_names", {}).get(candidate.name)
        if until is not None and candidate.name not in self._warned:
            self._warned.add(candidate.name)
            _log.warning(
                "%s %r is now called %r; the former name works until %s. For experiment files: "
                "cellvision migrate FILE",
                self.kind,
                candidate.name,
                self.name_of(cls),
                until,
            )

    def create(self, name: str, /, **settings: Any) -> T:
        """Create a component from its name and settings.

        Raises
        ------
        errors.ExperimentError
            Settings are unknown or have wrong values; one line each.
        errors.PluginError
            As for `get`.
        """
        return self.get(name).from_settings(settings, f"{self.kind} {name!r}")

    @overload
    def register(self, name: str) -> Callable[[C], C]: ...

    @overload
    def register(self, name: str, cls: type[T]) -> type[T]: ...

    def register(self, name: str, cls: type[T] | None = None) -> type[T] | Callable[[C], C]:
        """Register a class under a name in this process, for notebooks, local files and tests.

        Without a class, return a decorator: ``@cv.architectures.register("mine")``.

        Registering a name again replaces its class, so a notebook cell can run twice. Names of
        installed distributions are refused.

        Raises
        ------
        errors.PluginConflict
            An installed distribution provides the name.
        errors.PluginContractError
            The class breaks the interface's contract.
        """
        if cls is None:

            def decorate(decorated: C) -> C:
                self.register(name, decorated)
                return decorated

            return decorate
        module = f"{getattr(cls, '__module__', '')}:{getattr(cls, '__qualname__', repr(cls))}"
        candidate = PluginCandidate(name, REGISTERED, "", module, cls=cls)
        self._checked(cls, name, candidate.local_file or module)
        installed = [c for c in self._matching(name) if c.distribution != REGISTERED]
        if installed:
            raise errors.PluginConflict(
                f"{self.kind} {name!r} is provided by {installed[0].distribution}",
                "Register yours under another name",
            )
        self._registered[name] = candidate
        return cls

    def registered(self) -> dict[str, type[T]]:
        """Return the classes that `register` added, by name."""
        return {name: c.cls for name, c in self._registered.items() if c.cls is not None}

    def unregister(self, name: str) -> None:
        """Remove a registered name; ignore names that are not registered."""
        self._registered.pop(name, None)

    def name_of(self, cls: type[Any]) -> str:
        """Return the name of a class; ``distribution:name`` if the bare name is ambiguous.

        Raises
        ------
        errors.PluginError
            The class has no name, so a saved experiment could not be read back.
        """
        candidates = self._candidates()
        first = self._candidate_of(cls, candidates)
        if first is None:
            raise errors.PluginError(
                f"{cls.__qualname__} is not registered as a {self.kind}, so it has no name",
                f"Give it an entry point in {self.group}, or call "
                f"cellvision.{self.kind}s.register({cls.__name__.lower()!r}, {cls.__name__})",
            )
        rivals = sum(candidate.name == first.name for candidate in candidates)
        return first.name if rivals == 1 else f"{first.distribution}:{first.name}"

    def _candidate_of(
        self, cls: type[Any], candidates: list[PluginCandidate] | None = None
    ) -> PluginCandidate | None:
        """Return what leads to a class, by its current name rather than a former one."""
        module = f"{cls.__module__}:{cls.__qualname__}"
        candidates = self._candidates() if candidates is None else candidates
        own = [c for c in candidates if c.module == module and c.cls in (None, cls)]
        # An entry point may name a re-export.
        own = own or [candidate for candidate in candidates if candidate.leads_to(cls)]
        former = getattr(cls, "former_names", {})
        return min(own, key=lambda candidate: candidate.name in former, default=None)

    def origin_of(self, cls: type[Any]) -> str:
        """Return kind, name and distribution of a class, such as ``augmenter 'flip' (lab 0.2)``."""
        candidate = self._candidate_of(cls)
        if candidate is None:
            return f"{self.kind} {cls.__qualname__} (module {cls.__module__})"
        return f"{self.kind} {candidate.name!r} ({candidate.provider})"

    def info(self, name: str) -> PluginInfo:
        """Describe one plugin: distribution, version, module and first line of the docstring.

        The plugin is imported. For a broken one, ``status`` and ``reason`` describe the error;
        nothing is raised.

        Raises
        ------
        errors.UnknownPlugin, errors.PluginConflict
            No plugin has the name, or several do.
        """
        return self._info(self._candidate(name), rivals=(), load=True)

    def plugins(self, *, load: bool = False) -> list[PluginInfo]:
        """Describe all plugins; ``status`` marks those that cannot be used.

        Parameters
        ----------
        load
            Whether to import every plugin, which finds all faults. By default nothing is
            imported: descriptions come from metadata and source code, which show some faults
            only.
        """
        candidates = sorted(self._candidates(), key=lambda c: (c.name, c.distribution))
        described = [
            self._info(each, plugin_listing.rivals(each, candidates), load=load)
            for each in candidates
        ]
        plugin_source.save_cache()
        return described

    def _info(
        self, candidate: PluginCandidate, rivals: tuple[str, ...], *, load: bool
    ) -> PluginInfo:
        if candidate.entry_point is None:
            version = interface_versions.plugin_version(self.group, None, candidate.requires)
            status, reason, description = self._loaded_description(candidate)
        else:
            status, reason, description, version = plugin_listing.listing(
                self.group, self.base, candidate
            )
            if load and status != "version":
                status, reason, description = self._loaded_description(candidate)
        if rivals and status == "ok":
            status, reason = "conflict", f"also provided by {', '.join(rivals)}"
        return PluginInfo(
            self.group,
            candidate.name,
            candidate.distribution,
            candidate.version,
            candidate.module,
            status,
            reason,
            description,
            version,
        )

    def _loaded_description(self, candidate: PluginCandidate) -> tuple[Status, str, str]:
        try:
            cls = self._load(candidate)
        except errors.PluginError as error:
            return "broken", error.what, ""
        # Not inspect.getdoc, which inherits the interface's docstring.
        return "ok", "", inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    def names_that_may_override(self, attribute: str) -> tuple[str, ...]:
        """Return the names whose classes may define an attribute of the interface themselves.

        Their source code tells; nothing is imported.
        """
        return plugin_listing.names_that_may_override(self._candidates(), attribute, self.base)

    def requirement(self, name: str) -> str:
        """Return the requirement ``distribution==version`` of a name, for a run's record."""
        return self._candidate(name).requirement
