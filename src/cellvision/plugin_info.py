"""Description of one plugin; one row of ``cellvision plugins``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "broken", "conflict", "version"]


@dataclass(frozen=True)
class PluginInfo:
    """Description of one plugin; one row of ``cellvision plugins``.

    Attributes
    ----------
    group : str
        Its entry-point group, such as ``cellvision.datasets``.
    name : str
        Its name.
    distribution, version : str
        The installed distribution that provides it.
    module : str
        Location of the class, as ``package.module:Class``.
    status : {"ok", "broken", "conflict", "version"}
        Whether the name can be used, as far as is known without importing the plugin. ``version``:
        it was built for another cellvision.
    reason : str
        Why not, in one line; empty if the status is ``ok``.
    description : str
        The first line of the class's docstring.
    interface_version : int or None
        Version of the interface for which it was built, if its distribution or class says so.
    """

    group: str
    name: str
    distribution: str
    version: str
    module: str
    status: Status
    reason: str
    description: str
    interface_version: int | None = None
