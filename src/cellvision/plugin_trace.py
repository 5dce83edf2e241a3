"""Which plugins this process has imported, and how long each took: ``--trace-plugins``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """The first import of one plugin.

    Attributes
    ----------
    plugin : str
        Kind, name and distribution.
    seconds : float
        How long importing it took. A module that another plugin imported before costs nothing.
    fault : str
        Why it could not be imported; empty if it could.
    """

    plugin: str
    seconds: float
    fault: str = ""


_loads: dict[str, Load] = {}


def record(load: Load) -> None:
    """Add a load, unless the plugin has been loaded before."""
    _loads.setdefault(load.plugin, load)


def loads() -> list[Load]:
    """Return the plugins in the order in which they were imported."""
    return list(_loads.values())
