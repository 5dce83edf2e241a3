"""Accuracies of an expert that are added to a finished study."""

from __future__ import annotations

import json
from collections.abc import Mapping

from cellvision import atomic_io, errors
from cellvision.results.claimed_folder import PLAN, naming_folder
from cellvision.results.study import Study
from cellvision.results.tables import write_json
from cellvision.results.verdicts import VerdictFile


def with_expert(study: Study, expert: Mapping[str, float]) -> Study:
    """Record accuracies of an expert in a study; those on other splits stay.

    Parameters
    ----------
    study
        The finished study.
    expert
        Accuracy by split.

    Returns
    -------
    Study
        The study with the accuracies.

    Raises
    ------
    errors.ExperimentError
        The study has no such split.
    """
    splits = sorted({split for run in study.runs for split in run.scores})
    unknown = [split for split in expert if split not in splits]
    if unknown:
        raise errors.ExperimentError(
            f"the accuracy of an expert is for {unknown[0]!r}, but there is no such split",
            f"Splits: {', '.join(splits)}.",
        )
    metadata = study.metadata
    metadata = metadata.model_copy(update={"expert": {**metadata.expert, **expert}})
    with naming_folder(study.folder):
        _update_plan(study, metadata.expert)
        _update_verdicts(study, expert)
        atomic_io.text(study.folder / "study.json", metadata.to_json())
    return study.with_metadata(metadata)


def _update_plan(study: Study, expert: Mapping[str, float]) -> None:
    """Change the plan too, so that the command that started the study keeps the accuracies."""
    path = study.folder / PLAN
    if path.is_file():
        plan = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {**plan, "expert": dict(expert)})


def _update_verdicts(study: Study, expert: Mapping[str, float]) -> None:
    path = study.folder / "verdict.json"
    if not path.is_file():
        return
    recorded = VerdictFile.from_json(path.read_text(encoding="utf-8"), str(path))
    verdicts = tuple(
        verdict.model_copy(update={"expert": expert[verdict.split]})
        if verdict.split in expert
        else verdict
        for verdict in recorded.verdicts
    )
    atomic_io.text(path, recorded.model_copy(update={"verdicts": verdicts}).to_json())
