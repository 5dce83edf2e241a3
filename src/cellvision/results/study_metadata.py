"""Read the metadata of a finished study."""

from __future__ import annotations

import json
from pathlib import Path

from cellvision import errors
from cellvision.results.claimed_folder import PLAN
from cellvision.results.metadata import STUDY_SCHEMA, StudyMetadata, check_schema
from cellvision.results.missing_results import no_folder


def read_study_metadata(folder: Path) -> StudyMetadata:
    """Read ``study.json``.

    Raises
    ------
    errors.FolderError
        The folder holds no finished study, or the file is damaged.
    """
    path = folder / "study.json"
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except FileNotFoundError:
        if not folder.exists():
            raise no_folder(folder) from None
        interrupted = (folder / PLAN).is_file()
        raise errors.FolderError(
            f"{folder}: no finished study here (study.json is missing)",
            "The study was interrupted; run the same command again to resume it"
            if interrupted
            else "Name the folder given to cellvision study --out",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise errors.FolderError(f"{path}: cannot be read: {error}", "Restore the file") from None
    check_schema(path, content, STUDY_SCHEMA)
    return StudyMetadata.from_json(text, str(path))
