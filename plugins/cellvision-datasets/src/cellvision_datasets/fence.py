"""Where the images of a table may be: a table of others must not reach further."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cellvision import errors, remote


def require_allowed(name: str, where: str, root: Path | str, allowed: Sequence[Path | str]) -> None:
    """Refuse an image outside the root of a table and outside the places allowed besides.

    Parameters
    ----------
    name
        File or address, as the table names it.
    where
        Table and row, for the error.
    root
        Folder or address that files are relative to.
    allowed
        Further folders and addresses.

    Raises
    ------
    errors.CatalogError
        The image lies elsewhere. Nothing is opened to find out.
    """
    location = _absolute(name.strip().replace("\\", "/"), root)
    if any(_is_below(location, _absolute("", folder)) for folder in (root, *allowed)):
        return
    kind = "address" if remote.is_address(location) else "folder"
    outer = location if remote.is_address(location) else str(Path(location).parent)
    raise errors.CatalogError(
        f"{where}: {name} is not below {root}",
        f"If you trust the table, allow the {kind}: "
        f"""--set 'dataset.allowed=["{_host(outer) if kind == "address" else outer}"]'""",
    )


def _absolute(name: str, root: Path | str) -> str:
    """Return a path or address without ``..``, joined to the root if it is relative."""
    if remote.is_address(name):
        return _normalized(name)
    if isinstance(root, str):
        return _normalized(f"{root}/{name}")
    return os.path.normpath(root.expanduser().absolute() / name)


def _normalized(address: str) -> str:
    parts = urlsplit(address)
    path = posixpath.normpath("/" + unquote(parts.path).lstrip("/"))
    return f"{parts.scheme}://{parts.netloc}{path}"


def _is_below(location: str, root: str) -> bool:
    return location == root or location.startswith(root.rstrip("/") + "/")


def _host(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc or '/'}"
