"""Errors of the registry: no plugin of a name, several, or one that breaks its contract."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Sequence
from typing import Any

import importlib_metadata

from cellvision import errors
from cellvision.interface_members import member_fault
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS
from cellvision.plugin_candidates import (
    DISABLE,
    PREFER,
    REGISTERED,
    PluginCandidate,
    installed_candidates,
    is_disabled,
    is_loaded_file,
    local_module,
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def conflict(kind: str, name: str, rivals: Sequence[PluginCandidate]) -> errors.PluginConflict:
    """Return the error for a name that several distributions provide."""
    rivals = sorted(rivals, key=lambda rival: rival.distribution)
    if len({rival.distribution for rival in rivals}) == 1:
        modules = " or ".join(rival.module for rival in rivals)
        hint = f"The plugin's author must rename one of them: {modules}"
    else:
        first = f"{rivals[0].distribution}:{rivals[0].name}"
        hint = f'Choose one by its full name, such as "{first}", or always: {PREFER}={first}'
    owners = " and ".join(f"{rival.distribution} {rival.version}" for rival in rivals)
    return errors.PluginConflict(f"{kind} {name!r} is provided by {owners}", hint)


def unknown(
    group: str, kind: str, name: str, candidates: Sequence[PluginCandidate]
) -> errors.UnknownPlugin:
    """Return the error for a name that no distribution provides.

    Parameters
    ----------
    group
        Entry-point group.
    kind
        Its singular noun.
    name
        The unknown name, perhaps with a distribution.
    candidates
        All that is available in the group.
    """
    names = sorted({candidate.name for candidate in candidates})
    distribution, _, bare = name.rpartition(":")
    what = f"no {kind} is called {name!r}"
    off = [c for c in installed_candidates(group) if c.name == bare and is_disabled(c)]
    if off:
        owners = " and ".join(sorted({candidate.distribution for candidate in off}))
        return errors.UnknownPlugin(
            f"{what}: {DISABLE} disables that of {owners}",
            f"Remove it from the environment variable {DISABLE}",
        )
    known = KNOWN_DISTRIBUTIONS.get(group, {})
    provider = next((d for d, plugins in known.items() if bare in plugins), None)
    if provider is not None and not names:
        return errors.UnknownPlugin(
            f"{what}: this cellvision has no {kind} plugins; {provider} provides it",
            "Install the standard plugins: python -m pip install 'cellvision[standard]'",
        )
    if provider is not None and bare not in names:
        # --upgrade, because an older version without this name may be installed.
        return errors.UnknownPlugin(
            f"{what} here; {provider} provides it",
            f"Install it: python -m pip install --upgrade {provider}",
        )
    path, _, cls = name.rpartition(":") if ".py:" in name else (name, "", "")
    if path.endswith(".py") and is_loaded_file(path):
        return _of_loaded_file(what, kind, path, cls, candidates)
    others = [f"{c.distribution}:{bare}" for c in candidates if c.name == bare]
    if distribution:
        return _not_of_distribution(what, distribution, others)
    near = others or difflib.get_close_matches(bare, names, n=1)
    installed = f"installed: {', '.join(names)}" if names else "none is installed"
    if near:
        return errors.UnknownPlugin(what, f"Did you mean {near[0]!r}? ({installed})")
    return errors.UnknownPlugin(what, installed[0].upper() + installed[1:])


def _of_loaded_file(
    what: str, kind: str, path: str, cls: str, candidates: Sequence[PluginCandidate]
) -> errors.UnknownPlugin:
    """Return the error for a name that contains the path of a local file which is loaded.

    Parameters
    ----------
    what
        First line of the message.
    kind
        Singular noun of the plugins.
    path
        The file as it is named.
    cls
        What follows the path: a class or a name of the file; may be empty.
    candidates
        All that is available in the group.
    """
    prefix = f"{local_module(path)}:"
    own = {c.name: c.module.removeprefix(prefix) for c in candidates if c.module.startswith(prefix)}
    if not own:
        return errors.UnknownPlugin(
            f"{what}: {path} is loaded and has no {kind}",
            f"Add a class to the file that derives from the interface, or name another {kind}",
        )
    near = [name for name, class_name in own.items() if cls in (name, class_name)] or list(own)
    return errors.UnknownPlugin(
        f"{what}: {path} is loaded, and its plugins have other names",
        f"Did you mean {near[0]!r}? (of this file: {', '.join(sorted(own))})",
    )


def _not_of_distribution(
    what: str, distribution: str, others: Sequence[str]
) -> errors.UnknownPlugin:
    """Return the error for a name that is not provided by the distribution it is asked of.

    Parameters
    ----------
    what
        First line of the message.
    distribution
        The distribution, the name of a local file, or `REGISTERED`.
    others
        Full names of the plugins of the same name in other distributions.
    """
    choice = f"; or choose {others[0]!r}" if others else ""
    if distribution == REGISTERED:
        return errors.UnknownPlugin(what, f"Register its class again in this process{choice}")
    if distribution.endswith(".py"):
        return errors.UnknownPlugin(
            f"{what}: {distribution} is not loaded",
            f"Read the file, then load it: --plugin {distribution}{choice}",
        )
    if not _NAME.fullmatch(distribution):
        return errors.UnknownPlugin(what, "Write distribution:name" + choice)
    try:
        version = importlib_metadata.version(distribution)
    except importlib_metadata.PackageNotFoundError:
        return errors.UnknownPlugin(
            f"{what}: {distribution} is not installed",
            f"Install it: python -m pip install {distribution}{choice}",
        )
    return errors.UnknownPlugin(
        f"{what}: {distribution} {version} does not provide it",
        f"Update it: python -m pip install --upgrade {distribution}{choice}",
    )


def require_class(loaded: Any, base: type[Any], name: str, what: str) -> None:
    """Refuse what is no usable class of an interface.

    Parameters
    ----------
    loaded
        What the name leads to.
    base
        The interface.
    name
        Its name.
    what
        Kind, name and origin, for the message.

    Raises
    ------
    errors.PluginContractError
        It is not a class that derives from the interface and defines all its methods with its
        arguments, a constant has a wrong type, or its name is not valid.
    """
    hint = (
        f"It must be a class that derives from cellvision.{base.__name__} and defines its "
        "methods; the plugin's author can check it with cellvision.testing"
    )
    if not _NAME.fullmatch(name):
        raise errors.PluginContractError(
            f"{what} has a name with characters other than letters, digits, '_', '-' and '.'",
            "The plugin's author must rename the entry point",
        )
    if not inspect.isclass(loaded):
        raise errors.PluginContractError(f"{what} is not a class", hint)
    if not issubclass(loaded, base) or loaded is base:
        raise errors.PluginContractError(
            f"{what} does not derive from cellvision.{base.__name__}", hint
        )
    missing = sorted(getattr(loaded, "__abstractmethods__", ()))
    if missing:
        raise errors.PluginContractError(f"{what} does not define {', '.join(missing)}", hint)
    fault = member_fault(loaded, base)
    if fault is not None:
        raise errors.PluginContractError(
            f"{what}: {fault.what}", f"{fault.hint} Its author can test it: cellvision check."
        )
