"""Read the audit in the folder of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.data.audit import Audit


def read_audit(folder: Path) -> Audit | None:
    """Read ``audit.json``; None if the folder has none.

    Raises
    ------
    errors.FolderError
        The file cannot be read or holds no audit.
    """
    from cellvision.data.audit import Audit

    path = folder / "audit.json"
    if not path.is_file():
        return None
    try:
        return Audit.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.FolderError(
            f"{path}: cannot be read: {errors.first_line(error)}",
            "Restore the file or train again.",
        ) from None
