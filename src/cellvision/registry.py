"""Plugin registry: maps names to classes, built-in and third-party alike.

Names come from the metadata of installed distributions, without importing anything; a class is
imported when its name is used. A plugin that cannot be imported raises an error only when used.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from cellvision import errors, notebook_html
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS
from cellvision.plugin_candidates import (
    DISABLE,
    PluginCandidate,
    installed_candidates,
    is_disabled,
    normalize_distribution,
)
from cellvision.plugin_info import PluginInfo, Status


class Configurable(Protocol):
    """A class whose instances are created from settings, such as a component."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> Self:
        """Create an instance; `where` names the origin of the settings in errors."""
        ...


T = TypeVar("T", bound=Configurable)

REGISTERED = "(registered here)"
"""Distribution shown for classes that `Registry.register` added."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


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
        self._installed: tuple[tuple[str, ...], list[PluginCandidate]] | None = None

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

    # --- names, without importing --------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """Return all available names, sorted; nothing is imported."""
        return tuple(sorted({candidate.name for candidate in self._candidates()}))

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _candidates(self, *, rescan: bool = False) -> list[PluginCandidate]:
        # Reading all metadata takes milliseconds, so it happens once per sys.path, and again if
        # a name is missing, because it may have been installed in the meantime.
        path = tuple(sys.path)
        if rescan or self._installed is None or self._installed[0] != path:
            self._installed = (path, installed_candidates(self.group))
        enabled = [c for c in self._installed[1] if not is_disabled(c)]
        return [*enabled, *self._registered.values()]

    def rescan(self) -> None:
        """Forget the installed names; the next use reads them again."""
        self._installed = None

    def qualified(self, name: str, distribution: str) -> str:
        """Return ``distribution:name`` if other distributions provide the name too, else the name.

        Parameters
        ----------
        name
            A name without distribution.
        distribution
            The distribution to choose; if it does not provide the name, the name is returned.
        """
        matching = self._matching(name)
        wanted = normalize_distribution(distribution)
        own = [c for c in matching if normalize_distribution(c.distribution) == wanted]
        return f"{own[0].distribution}:{name}" if len(own) == 1 < len(matching) else name

    def default(self, name: str) -> str:
        """Return what a default of cellvision means by a name: the plugin of this project."""
        known = KNOWN_DISTRIBUTIONS.get(self.group, {})
        home = next((d for d, provided in known.items() if name in provided), "")
        return self.qualified(name, home)

    def _matching(self, name: str) -> list[PluginCandidate]:
        distribution, _, bare = name.rpartition(":")
        if distribution not in ("", REGISTERED):
            distribution = normalize_distribution(distribution)

        def matches(candidate: PluginCandidate) -> bool:
            provider = candidate.distribution
            accepted = ("", provider, normalize_distribution(provider))
            return candidate.name == bare and distribution in accepted

        return list(filter(matches, self._candidates())) or list(
            filter(matches, self._candidates(rescan=True))
        )

    def _candidate(self, name: str) -> PluginCandidate:
        """Return the only candidate for a name; raise an error if there is none or several."""
        matching = self._matching(name)
        if not matching:
            raise self._unknown(name)
        if len(matching) > 1:
            raise self._conflict(name, matching)
        return matching[0]

    def _conflict(self, name: str, rivals: list[PluginCandidate]) -> errors.PluginConflict:
        if len({rival.distribution for rival in rivals}) == 1:
            modules = " or ".join(rival.module for rival in rivals)
            hint = f"The plugin's author must rename one of them: {modules}"
        else:
            first = f"{rivals[0].distribution}:{rivals[0].name}"
            hint = f'Choose one by its full name, such as "{first}", or uninstall the other'
        owners = " and ".join(f"{rival.distribution} {rival.version}" for rival in rivals)
        return errors.PluginConflict(f"{self.kind} {name!r} is provided by {owners}", hint)

    def _unknown(self, name: str) -> errors.UnknownPlugin:
        names = self.names()
        bare = name.rpartition(":")[2]
        what = f"no {self.kind} is called {name!r}"
        off = [c for c in installed_candidates(self.group) if c.name == bare and is_disabled(c)]
        if off:
            return errors.UnknownPlugin(
                f"{what}: {DISABLE} disables that of {off[0].distribution}",
                f"Remove it from the environment variable {DISABLE}",
            )
        known = KNOWN_DISTRIBUTIONS.get(self.group, {})
        provider = next((d for d, plugins in known.items() if bare in plugins), None)
        if provider is not None and not names:
            return errors.UnknownPlugin(
                f"{what}: this cellvision has no {self.kind} plugins; {provider} provides it",
                "Install the standard plugins: python -m pip install 'cellvision[standard]'",
            )
        if provider is not None and bare not in names:
            # --upgrade, because an older version without this name may be installed.
            return errors.UnknownPlugin(
                f"{what} here; {provider} provides it",
                f"Install it: python -m pip install --upgrade {provider}",
            )
        others = [f"{c.distribution}:{bare}" for c in self._candidates() if c.name == bare]
        near = others or difflib.get_close_matches(bare, names, n=1)
        installed = f"installed: {', '.join(names)}" if names else "none is installed"
        if near:
            return errors.UnknownPlugin(what, f"Did you mean {near[0]!r}? ({installed})")
        return errors.UnknownPlugin(what, installed[0].upper() + installed[1:])

    # --- classes and instances -----------------------------------------------------------

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
        try:
            loaded = candidate.load()
        except (Exception, SystemExit) as error:
            raise errors.BrokenPlugin(
                f"{self.kind} {candidate.name!r} ({candidate.origin}) cannot be imported: "
                f"{errors.summarize(error)}",
                f"Fix or update it: python -m pip install --upgrade {candidate.distribution}",
            ) from error
        return self._checked(loaded, candidate.name, candidate.origin)

    def _checked(self, loaded: Any, name: str, origin: str) -> type[T]:
        """Return the class; raise an error if it breaks the interface's contract."""
        what = f"{self.kind} {name!r} ({origin})"
        hint = (
            f"It must be a class that derives from cellvision.{self.base.__name__} and defines "
            "its methods; the plugin's author can check it with cellvision.testing"
        )
        if not _NAME.fullmatch(name):
            raise errors.PluginContractError(
                f"{what} has a name with characters other than letters, digits, '_', '-' and '.'",
                "The plugin's author must rename the entry point",
            )
        if not inspect.isclass(loaded):
            raise errors.PluginContractError(f"{what} is not a class", hint)
        if not issubclass(loaded, self.base) or loaded is self.base:
            raise errors.PluginContractError(
                f"{what} does not derive from cellvision.{self.base.__name__}", hint
            )
        missing = sorted(getattr(loaded, "__abstractmethods__", ()))
        if missing:
            raise errors.PluginContractError(f"{what} does not define {', '.join(missing)}", hint)
        return loaded

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
    def register(self, name: str) -> Callable[[type[T]], type[T]]: ...

    @overload
    def register(self, name: str, cls: type[T]) -> type[T]: ...

    def register(
        self, name: str, cls: type[T] | None = None
    ) -> type[T] | Callable[[type[T]], type[T]]:
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
            return lambda decorated: self.register(name, decorated)
        module = f"{getattr(cls, '__module__', '')}:{getattr(cls, '__qualname__', repr(cls))}"
        self._checked(cls, name, module)
        installed = [c for c in self._matching(name) if c.distribution != REGISTERED]
        if installed:
            raise errors.PluginConflict(
                f"{self.kind} {name!r} is provided by {installed[0].distribution}",
                "Register yours under another name",
            )
        self._registered[name] = PluginCandidate(name, REGISTERED, "", module, cls=cls)
        return cls

    def registered(self) -> dict[str, type[T]]:
        """Return the classes that `register` added, by name."""
        return {name: c.cls for name, c in self._registered.items() if c.cls is not None}

    def unregister(self, name: str) -> None:
        """Remove a registered name; ignore names that are not registered."""
        self._registered.pop(name, None)

    # --- descriptions --------------------------------------------------------------------

    def name_of(self, cls: type[Any]) -> str:
        """Return the name of a class; ``distribution:name`` if the bare name is ambiguous.

        Raises
        ------
        errors.PluginError
            The class has no name, so a saved experiment could not be read back.
        """
        module = f"{cls.__module__}:{cls.__qualname__}"
        candidates = self._candidates()
        matching = [c for c in candidates if c.module == module and c.cls in (None, cls)]
        # An entry point may name a re-export.
        matching = matching or [candidate for candidate in candidates if candidate.leads_to(cls)]
        if not matching:
            raise errors.PluginError(
                f"{cls.__qualname__} is not registered as a {self.kind}, so it has no name",
                f"Give it an entry point in {self.group}, or call "
                f"cellvision.{self.kind}s.register({cls.__name__.lower()!r}, {cls.__name__})",
            )
        first = matching[0]
        rivals = sum(candidate.name == first.name for candidate in candidates)
        return first.name if rivals == 1 else f"{first.distribution}:{first.name}"

    def info(self, name: str) -> PluginInfo:
        """Describe one plugin: distribution, version, module and first line of the docstring.

        For a broken plugin, ``status`` and ``reason`` describe the error; nothing is raised.

        Raises
        ------
        errors.UnknownPlugin, errors.PluginConflict
            No plugin has the name, or several do.
        """
        return self._info(self._candidate(name), rivals=())

    def plugins(self) -> list[PluginInfo]:
        """Describe all plugins; ``status`` marks broken and conflicting ones."""
        candidates = sorted(self._candidates(rescan=True), key=lambda c: (c.name, c.distribution))
        return [
            self._info(
                candidate,
                rivals=tuple(
                    other.distribution
                    for other in candidates
                    if other.name == candidate.name and other is not candidate
                ),
            )
            for candidate in candidates
        ]

    def _info(self, candidate: PluginCandidate, rivals: tuple[str, ...]) -> PluginInfo:
        status: Status = "ok"
        reason = description = ""
        try:
            cls = self._load(candidate)
            # Not inspect.getdoc, which inherits the interface's docstring.
            description = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
        except errors.PluginError as error:
            status, reason = "broken", error.what
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
        )

    def requirement(self, name: str) -> str:
        """Return the requirement ``distribution==version`` of a name, for a run's record."""
        candidate = self._candidate(name)
        version = candidate.version
        return f"{candidate.distribution}=={version}" if version else candidate.distribution
