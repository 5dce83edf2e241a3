"""Open a folder of results, whether it holds a run or a study."""

from __future__ import annotations

import os
from pathlib import Path

from cellvision import remote
from cellvision.results.evaluation import Evaluation
from cellvision.results.missing_results import no_run
from cellvision.results.run import Run, load_run
from cellvision.results.study import Study, load_study


def open_results(
    source: Run | Study | str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
) -> Run | Study:
    """Return a run or study as it is, and open the folder of one.

    Parameters
    ----------
    source
        A run or study, or its folder or address.
    images
        Where the images of a folder's run are now; None: where they were at the training.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds neither.
    """
    if isinstance(source, Evaluation):
        raise no_run(source.folder)
    if isinstance(source, Run | Study):
        return source
    with remote.finished(source) as folder:
        is_study = (Path(folder) / "study.json").is_file()
    return load_study(source, images=images) if is_study else load_run(source, images=images)
