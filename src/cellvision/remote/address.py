"""Recognise, validate and normalise addresses such as ``s3://bucket/images``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeGuard
from urllib.parse import urlsplit

from pydantic import AfterValidator, Strict


def is_address(location: object) -> TypeGuard[str]:
    """Return whether a location is an address such as ``s3://bucket/images``, not a path.

    Examples
    --------
    >>> is_address("s3://bucket/images"), is_address("images"), is_address(Path("images"))
    (True, False, False)
    """
    return isinstance(location, str) and "://" in location


def normalize(address: str) -> str:
    """Remove trailing slashes, but keep that of a root."""
    kind, _, rest = address.rpartition("://")
    return f"{kind}://{rest.rstrip('/') or rest[:1]}"


def _validated(value: Path | str) -> Path | str:
    if not is_address(value):
        return Path(value)
    if urlsplit(value).password:
        raise ValueError(
            "an address must not contain a password, because every run's record stores it; "
            "put the password in fsspec's configuration"
        )
    return normalize(value)


Location = Annotated[Path | Annotated[str, Strict()], AfterValidator(_validated)]
"""Type of a setting: a local path (`Path`), or an address on remote storage (`str`)."""


def by_root(
    location: str | os.PathLike[str], names: Iterable[str]
) -> dict[str | os.PathLike[str], list[str]]:
    """Group names by the root they are relative to: `location`, or the storage they name."""
    groups: dict[str | os.PathLike[str], list[str]] = {}
    for name in names:
        if is_address(name):
            parts = urlsplit(name)
            root = f"{parts.scheme}://{parts.netloc or '/'}"
            groups.setdefault(root, []).append(parts.path.lstrip("/"))
        else:
            groups.setdefault(location, []).append(name)
    return groups
