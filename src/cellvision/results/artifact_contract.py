"""What a reporter must return: checked after every report, and by the conformance kit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from cellvision import errors
from cellvision.integers import as_int
from cellvision.interfaces.artifact import Artifact, ArtifactKind
from cellvision.results.artifacts import ArtifactRecord

_HINT = "Return a list of cellvision.Artifact, one per file"


def checked_artifacts(returned: object, folder: Path) -> tuple[ArtifactRecord, ...]:
    """Return a record of each artifact.

    Parameters
    ----------
    returned
        What the reporter returned.
    folder
        The folder that was passed to it.

    Raises
    ------
    errors.PluginContractError
        It is not a list of artifacts, or one has no file in the folder, no title, or an unknown
        kind.
    """
    if isinstance(returned, str) or not isinstance(returned, Sequence):
        raise errors.PluginContractError(
            f"it returned {type(returned).__name__}, not a list", _HINT
        )
    return tuple(_record_of(artifact, folder.resolve()) for artifact in returned)


def _record_of(artifact: object, folder: Path) -> ArtifactRecord:
    if not isinstance(artifact, Artifact):
        raise errors.PluginContractError(
            f"it returned {artifact!r}, which is not an Artifact", _HINT
        )
    path = Path(artifact.path)
    if not path.is_file():
        raise errors.PluginContractError(
            f"it returned {path}, which does not exist",
            "Write the file, and return its whole path: folder / name",
        )
    if path.is_symlink() or not path.resolve().is_relative_to(folder):
        raise errors.PluginContractError(
            f"it returned {path}, which is outside its folder",
            "Write only to the folder that is passed to the reporter",
        )
    if artifact.kind not in get_args(ArtifactKind):
        raise errors.PluginContractError(
            f"it returned an artifact of kind {artifact.kind!r}",
            f"Choose one of {', '.join(get_args(ArtifactKind))}",
        )
    order = as_int(artifact.order)
    if order is None or not str(artifact.title or "").strip():
        raise errors.PluginContractError(
            f"it returned an artifact with the title {artifact.title!r} and order "
            f"{artifact.order!r}",
            "Give a title of a few words, and a whole number as order",
        )
    return ArtifactRecord(
        path=path.resolve().relative_to(folder).as_posix(),
        title=str(artifact.title),
        kind=artifact.kind,
        caption=str(artifact.caption),
        order=order,
    )
