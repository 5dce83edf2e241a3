"""Plugin registry: maps names to classes, built-in and third-party alike.

Names are read from the metadata of installed distributions without importing anything; a class
is imported when its name is used. A plugin that cannot be imported is an error only for whoever
uses it.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from cellvision import errors
from cellvision.known_distributions import KNOWN_DISTRIBUTIONS
from cellvision.plugin_candidates import (
    DISABLE,
    PluginCandidate,
    installed_candidates,
    is_disabled,
    normalize_distribution,
)
from cellvision.plugin_info import PluginInfo, Status


class Configurable(Protocol):
    """A class that is created from settings, as every component is."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], where: str) -> Self:
        """Create an instance; `where` names the origin of the settings in errors."""
        ...


T = TypeVar("T", bound=Configurable)

REGISTERED = "(registered here)"
"""The distribution shown for a class that `Registry.register` added."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Registry(Generic[T]):
    """The classes of one interface, by name.

    Parameters
    ----------
    group
        The entry-point group, such as ``cellvision.datasets``.
    base
        The interface that every class of the group must derive from.

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
        return f"<Registry {self.group}: {', '.join(self.names())}>"

    @property
    def kind(self) -> str:
        """What one of its plugins is called, such as ``dataset``."""
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
        # Reading all metadata takes milliseconds, so it is done once for each sys.path, and
        # again if a name is missing, because it may have been installed since.
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
            own = candidate.distribution
            accepted = ("", own, normalize_distribution(own))
            return candidate.name == bare and distribution in accepted

        return list(filter(matches, self._candidates())) or list(
            filter(matches, self._candidates(rescan=True))
        )

    def _candidate(self, name: str) -> PluginCandidate:
        """Return the one candidate for a name, or raise the error that explains why not."""
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
        home = next((d for d, provided in known.items() if bare in provided), None)
        if home is not None and not names:
            return errors.UnknownPlugin(
                f"{what}: this cellvision has no {self.kind} plugins; {home} provides it",
                "Install the standard plugins: python -m pip install 'cellvision[standard]'",
            )
        if home is not None and bare not in names:
            # --upgrade because an older version without this name may be installed.
            return errors.UnknownPlugin(
                f"{what} here; {home} provides it",
                f"Install it: python -m pip install --upgrade {home}",
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
            A name, or ``"distribution:name"`` if two distributions provide the same one.

        Raises
        ------
        errors.UnknownPlugin
            No distribution provides it; the message suggests the nearest name.
        errors.PluginConflict
            Two distributions provide it; the message names both.
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
        """Return the class if it keeps the interface's contract."""
        what = f"{self.kind} {name!r} ({origin})"
        hint = (
            f"It must be a class that derives from cellvision.{self.base.__name__} and defines "
            "its methods; its author can check it with cellvision.testing"
        )
        if not _NAME.fullmatch(name):
            raise errors.PluginContractError(
                f"{what} has a name with characters other than letters, digits, '_', '-' and '.'",
                "Its author must rename the entry point",
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
            A setting is unknown or has a wrong value; one line for each.
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
        """Add a class under a name in this process, for notebooks, local files and tests.

        Without a class, return a decorator: ``@cv.architectures.register("mine")``.

        A name that was registered before is replaced, so a notebook cell can run twice; a name
        that an installed distribution provides is refused.

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
        """Remove a registered name; a name that is not registered is ignored."""
        self._registered.pop(name, None)

    # --- descriptions --------------------------------------------------------------------

    def name_of(self, cls: type[Any]) -> str:
        """Return the name of a class; ``distribution:name`` if the bare name is ambiguous.

        Raises
        ------
        errors.PluginError
            The class has no name, so a saved experiment could not be read back.
        """
        home = f"{cls.__module__}:{cls.__qualname__}"
        candidates = self._candidates()
        own = [c for c in candidates if c.module == home and c.cls in (None, cls)]
        # An entry point may name a re-export.
        own = own or [candidate for candidate in candidates if candidate.leads_to(cls)]
        if not own:
            raise errors.PluginError(
                f"{cls.__qualname__} is not registered as a {self.kind}, so it has no name",
                f"Give it an entry point in {self.group}, or call "
                f"cellvision.{self.kind}s.register({cls.__name__.lower()!r}, {cls.__name__})",
            )
        rivals = sum(candidate.name == own[0].name for candidate in candidates)
        return own[0].name if rivals == 1 else f"{own[0].distribution}:{own[0].name}"

    def info(self, name: str) -> PluginInfo:
        """Describe one plugin: distribution, version, module and first docstring line.

        A broken plugin is described, not raised: see its ``status`` and ``reason``.

        Raises
        ------
        errors.UnknownPlugin, errors.PluginConflict
            There is no such name, or more than one.
        """
        return self._info(self._candidate(name), rivals=())

    def plugins(self) -> list[PluginInfo]:
        """Describe every plugin; broken and conflicting ones are marked, not raised."""
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
        """Return the ``distribution==version`` behind a name, for a run's record."""
        candidate = self._candidate(name)
        version = candidate.version
        return f"{candidate.distribution}=={version}" if version else candidate.distribution
