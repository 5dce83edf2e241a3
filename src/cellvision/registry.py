"""Names to classes: the door by which every component comes in, ours and a stranger's.

Names are read from the metadata of what is installed, without importing anything; a class is
imported when its name is used. A plugin that cannot be imported is an error for whoever uses
it and for nobody else.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import importlib_metadata

from cellvision import errors

T = TypeVar("T")

REGISTERED = "(registered here)"
"""Stands for the distribution of a class that came in by `Registry.register`."""

KNOWN_DISTRIBUTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "cellvision.datasets": {
        "cellvision-datasets": ("fashion_mnist", "flowers", "folder", "synthetic_cells", "table"),
        "cellvision-bioio": ("bioio",),
        "cellvision-cleanlab": ("one_fold",),
    },
    "cellvision.augmenters": {
        "cellvision-augmenters": ("flip", "rotation", "translation"),
    },
    "cellvision.architectures": {
        "cellvision-architectures": (
            *("alexnet", "deep", "deep_functional", "fmnist_alexnet", "fmnist_deep"),
            *("perceptron", "pretrained", "resnet"),
        ),
    },
    "cellvision.reporters": {
        "cellvision-reporters": (
            *("attention", "boxplot", "confusion", "controls", "curves", "diagram", "expert"),
            *("html", "learning", "panel", "robustness", "sample", "summary", "tables"),
        ),
        "cellvision-cleanlab": ("suspicious_labels",),
        "cellvision-tracking": ("mlflow", "tensorboard"),
    },
}
"""By group: which distribution offers what, for the hint that comes with an unknown name."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class PluginInfo:
    """What is known of one plugin; one row of ``cellvision plugins``.

    Attributes
    ----------
    group : str
        Its entry-point group, such as ``cellvision.datasets``.
    name : str
        The name it goes by.
    distribution, version : str
        The installed distribution that offers it.
    module : str
        Where the class is, as ``package.module:Class``.
    status : {"ok", "broken", "conflict"}
        Whether using the name would work.
    reason : str
        Why not, in one line; empty where it is fine.
    description : str
        The first line of the class's docstring.
    """

    group: str
    name: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "broken", "conflict"]
    reason: str
    description: str


@dataclass(frozen=True)
class _Candidate:
    """One name as one distribution offers it; the class is imported by `load` only."""

    name: str
    distribution: str
    version: str
    module: str
    entry_point: importlib_metadata.EntryPoint | None = None
    cls: type[Any] | None = None

    def load(self) -> Any:
        return self.cls if self.entry_point is None else self.entry_point.load()


def normalised(distribution: str) -> str:
    """The comparable form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


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
        self._registered: dict[str, _Candidate] = {}
        self._scanned: tuple[tuple[str, ...], list[_Candidate]] | None = None

    def __repr__(self) -> str:
        return f"<Registry {self.group}: {', '.join(self.names())}>"

    @property
    def kind(self) -> str:
        """What one of its members is called, such as ``dataset``."""
        return self.group.rpartition(".")[2].removesuffix("s")

    # --- looking without importing -------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """All names on offer, sorted, from metadata alone: nothing is imported."""
        return tuple(sorted({offer.name for offer in self._offers()}))

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _offers(self, *, fresh: bool = False) -> list[_Candidate]:
        # Reading all metadata takes milliseconds, so it is done once for a given sys.path,
        # and once more where a name is missing: it may have been installed since.
        path = tuple(sys.path)
        if fresh or self._scanned is None or self._scanned[0] != path:
            self._scanned = (
                path,
                [_offer(e) for e in importlib_metadata.entry_points(group=self.group)],
            )
        return [*self._scanned[1], *self._registered.values()]

    def _find(self, name: str) -> list[_Candidate]:
        distribution, _, bare = name.rpartition(":")

        def matching(offers: list[_Candidate]) -> list[_Candidate]:
            return [
                offer
                for offer in offers
                if offer.name == bare
                and distribution in ("", offer.distribution, normalised(offer.distribution))
            ]

        if distribution not in ("", REGISTERED):
            distribution = normalised(distribution)
        return matching(self._offers()) or matching(self._offers(fresh=True))

    def _offer(self, name: str) -> _Candidate:
        """The one offer for a name, or the error that says why there is none."""
        found = self._find(name)
        if not found:
            raise self._unknown(name)
        if len(found) > 1:
            first = f"{found[0].distribution}:{found[0].name}"
            if len({offer.distribution for offer in found}) == 1:
                hint = f"Its author must rename one: {' or '.join(o.module for o in found)}"
            else:
                hint = f'Choose one by its full name, such as "{first}", or uninstall the other'
            raise errors.PluginConflict(
                f"{self.kind} {name!r} is offered by "
                + " and ".join(f"{offer.distribution} {offer.version}" for offer in found),
                hint,
            )
        return found[0]

    def _unknown(self, name: str) -> errors.UnknownPlugin:
        names = self.names()
        bare = name.rpartition(":")[2]
        what = f"no {self.kind} is called {name!r}"
        known = KNOWN_DISTRIBUTIONS.get(self.group, {})
        home = next((d for d, offered in known.items() if bare in offered), None)
        if home is not None and bare not in names:
            # --upgrade, since an older one that lacks the name may be there.
            return errors.UnknownPlugin(
                f"{what} here: {home} offers it",
                f"Install that: python -m pip install --upgrade {home}",
            )
        others = [f"{o.distribution}:{bare}" for o in self._offers() if o.name == bare]
        near = others or difflib.get_close_matches(bare, names, n=1)
        installed = f"installed: {', '.join(names)}" if names else "none is installed"
        if near:
            return errors.UnknownPlugin(what, f"Did you mean {near[0]!r}? ({installed})")
        return errors.UnknownPlugin(what, installed[0].upper() + installed[1:])

    # --- using ---------------------------------------------------------------------------

    def get(self, name: str) -> type[T]:
        """Import and return the class behind a name.

        Parameters
        ----------
        name
            A name, or ``"distribution:name"`` where two distributions offer the same one.

        Raises
        ------
        errors.UnknownPlugin
            Nobody offers it; the message suggests the nearest name.
        errors.PluginConflict
            Two distributions offer it; the message names both.
        errors.BrokenPlugin
            It cannot be imported; the cause is chained.
        errors.PluginContractError
            What was imported is not a usable class of this interface.
        """
        return self._load(self._offer(name))

    def _load(self, offer: _Candidate) -> type[T]:
        origin = f"{offer.distribution} {offer.version}, {offer.module}"
        try:
            loaded = offer.load()
        except (Exception, SystemExit) as error:
            raise errors.BrokenPlugin(
                f"{self.kind} {offer.name!r} ({origin}) cannot be imported: "
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                f"Mend or update it: python -m pip install --upgrade {offer.distribution}",
            ) from error
        self._check(loaded, offer.name, origin)
        return loaded  # type: ignore[no-any-return]

    def _check(self, loaded: Any, name: str, origin: str) -> None:
        what = f"{self.kind} {name!r} ({origin})"
        hint = (
            f"It must be a class that derives from cellvision.{self.base.__name__} and defines "
            "its methods; its author can check that with cellvision.testing"
        )
        if not _NAME.fullmatch(name):
            raise errors.PluginContractError(
                f"{what} has a name that is not letters, digits, '_', '-' and '.'",
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

    def create(self, name: str, /, **settings: Any) -> T:
        """Make a component from its name and its settings.

        Raises
        ------
        errors.ExperimentError
            A setting is unknown or has a wrong value; one line for each fault.
        errors.PluginError
            As for `get`.
        """
        cls: Any = self.get(name)
        return cls.from_settings(settings, f"{self.kind} {name!r}")  # type: ignore[no-any-return]

    def register(self, name: str, cls: type[T]) -> type[T]:
        """Offer a class under a name in this process, for notebooks and tests.

        A name registered here before is replaced, so that a notebook's cell can run twice; a
        name that an installed distribution offers is refused.

        Raises
        ------
        errors.PluginConflict
            An installed distribution offers the name.
        errors.PluginContractError
            The class does not keep the interface's contract.
        """
        module = f"{getattr(cls, '__module__', '')}:{getattr(cls, '__qualname__', repr(cls))}"
        self._check(cls, name, module)
        installed = [o for o in self._find(name) if o.distribution != REGISTERED]
        if installed:
            raise errors.PluginConflict(
                f"{self.kind} {name!r} is offered by {installed[0].distribution}",
                "Register yours under another name",
            )
        self._registered[name] = _Candidate(name, REGISTERED, "", module, cls=cls)
        return cls

    def unregister(self, name: str) -> None:
        """Take back what `register` offered; a name that is not there is passed over."""
        self._registered.pop(name, None)

    # --- telling -------------------------------------------------------------------------

    def name_of(self, cls: type[Any]) -> str:
        """The name under which a class is on offer; ``distribution:name`` where it needs that.

        Raises
        ------
        errors.PluginError
            The class is not on offer, so nothing that is written down could be read back.
        """
        home = f"{cls.__module__}:{cls.__qualname__}"
        offers = self._offers()
        mine = [offer for offer in offers if offer.module == home and offer.cls in (None, cls)]
        # An entry point may name a re-export; strangers' packages are not imported for that.
        mine = mine or [offer for offer in offers if _leads_to(offer, cls)]
        if not mine:
            raise errors.PluginError(
                f"{cls.__qualname__} is not on offer among the {self.kind}s, so it has no name",
                f"Give it an entry point in {self.group}, or "
                f"cellvision.{self.kind}s.register({cls.__name__.lower()!r}, {cls.__name__})",
            )
        rivals = sum(offer.name == mine[0].name for offer in offers)
        return mine[0].name if rivals == 1 else f"{mine[0].distribution}:{mine[0].name}"

    def info(self, name: str) -> PluginInfo:
        """Tell about one name: distribution, version, module and the class's first line.

        A broken plugin is described, not raised: its ``status`` and ``reason`` say what is
        wrong.

        Raises
        ------
        errors.UnknownPlugin, errors.PluginConflict
            There is no such name, or more than one.
        """
        return self._describe(self._offer(name), rivals=())

    def plugins(self) -> list[PluginInfo]:
        """Tell about everything on offer; faults are values in the list, not exceptions."""
        offers = sorted(self._offers(fresh=True), key=lambda o: (o.name, o.distribution))
        return [
            self._describe(
                offer,
                rivals=tuple(
                    other.distribution
                    for other in offers
                    if other.name == offer.name and other is not offer
                ),
            )
            for offer in offers
        ]

    def _describe(self, offer: _Candidate, rivals: tuple[str, ...]) -> PluginInfo:
        status: Literal["ok", "broken", "conflict"] = "ok"
        reason = description = ""
        try:
            cls = self._load(offer)
            # Not inspect.getdoc: that would give the interface's text for a class without any.
            description = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
        except errors.PluginError as error:
            status, reason = "broken", error.what
        if rivals and status == "ok":
            status, reason = "conflict", f"also offered by {', '.join(rivals)}"
        return PluginInfo(
            self.group,
            offer.name,
            offer.distribution,
            offer.version,
            offer.module,
            status,
            reason,
            description,
        )

    def requirement(self, name: str) -> str:
        """The ``distribution==version`` behind a name, for a run's record."""
        offer = self._offer(name)
        return f"{offer.distribution}=={offer.version}" if offer.version else offer.distribution


def _offer(entry_point: importlib_metadata.EntryPoint) -> _Candidate:
    name, version = "(unknown distribution)", ""
    if entry_point.dist is not None:
        with suppress(importlib_metadata.PackageNotFoundError, FileNotFoundError, KeyError):
            name, version = entry_point.dist.name or name, entry_point.dist.version or ""
    # Without the extras that may follow in brackets.
    module = entry_point.value.partition("[")[0].replace(" ", "")
    return _Candidate(entry_point.name, name, version, module, entry_point=entry_point)


def _leads_to(offer: _Candidate, cls: type[Any]) -> bool:
    module = offer.module.partition(":")[0]
    if module not in sys.modules and module.partition(".")[0] != cls.__module__.partition(".")[0]:
        return False
    try:
        return offer.load() is cls
    except (Exception, SystemExit):  # noqa: BLE001 - a stranger's module
        return False
