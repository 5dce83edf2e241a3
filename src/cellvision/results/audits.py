"""Audit images, and write what a person should look at before any training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors, remote
from cellvision.call_errors import names_settings
from cellvision.data.audit import Audit
from cellvision.data.audit import audit as audit_images
from cellvision.experiment import Experiment
from cellvision.interfaces.dataset import Dataset
from cellvision.interfaces.reporter import Reporter
from cellvision.locks import folder_lock
from cellvision.progress import Display, displayed
from cellvision.recipe_experiment import DEFAULT, experiment_for_audit
from cellvision.results.artifacts import ReportedResults
from cellvision.results.claimed_folder import naming_folder, raise_if_unwritable
from cellvision.results.reporting import default_reporters, make_reports, warn_of_faults

if TYPE_CHECKING:
    from pydantic import JsonValue

_FILES = frozenset({"audit.json", "reports"})
"""What an audit writes to its folder."""


class AuditReport(ReportedResults):
    """An audit with a folder, on which reporters report.

    Parameters
    ----------
    audit
        The audit, with its images.
    folder
        Its folder.
    """

    def __init__(self, audit: Audit, folder: Path) -> None:
        self._audit = audit
        self.folder = folder

    @property
    def audit(self) -> Audit:
        """The audit, with its images; a copy, so that changes to it affect nobody else."""
        return self._audit.copy()

    def __repr__(self) -> str:
        return f"<AuditReport {self.folder}: {self._audit!r}>"


@names_settings
def audit(
    source: Experiment | Dataset | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    group: str | None = None,
    recipe: str = DEFAULT,
    settings: Mapping[str, JsonValue] | None = None,
    progress: bool | None = None,
) -> Audit:
    """Read every file of a data set and report what it contains.

    Neither unreadable files nor leaks raise an error: they are part of the report. Decoded images
    go into the cache, so a training with the same preprocessing does not decode them again.

    Parameters
    ----------
    source
        An experiment or an experiment file; a data set, with default settings for everything
        else; or a folder of images, for which a recipe chooses the settings.
    out
        Folder for the audit and a page with contact sheets, histograms and tables: a new or empty
        one, or that of an earlier audit. An address on remote storage works too.
    group
        For a folder: provenance column that names the groups, such as ``well``.
    recipe
        For a folder: name of the recipe. If it cannot use the images, defaults apply.
    settings
        For a folder or an experiment file: settings that take precedence, in tables as in an
        experiment file, such as ``{"training": {"epochs": 20}}``.
    progress
        Whether to show progress on standard error, as in `train`; None: only on a terminal.

    Raises
    ------
    errors.CatalogError
        The table of images breaks a rule.
    errors.FolderError
        The folder of images is missing, or that of the results holds something else.

    Examples
    --------
    >>> import cellvision as cv
    >>> report = cv.audit("images", group="well", out="audits/first")  # doctest: +SKIP
    >>> report.counts  # doctest: +SKIP
    {'train': {'control': 52, 'treated': 51}, ...}
    >>> report.plot.sheet(view="network")  # doctest: +SKIP
    """
    if out is not None:
        raise_if_not_for_audit(out)
    if not isinstance(source, Dataset):
        source = experiment_for_audit(source, recipe, group, settings)
    elif group is not None or settings:
        raise errors.ExperimentError(
            f"{'settings are' if settings else 'group is'} for a folder of images; a data set has "
            "its own settings",
            "Set them in the data set: cv.datasets.create(..., group=...)",
        )
    if out is None:
        return audit_images(source, progress=progress)
    with remote.results(out) as folder, folder_lock(folder, "audit"):
        raise_if_not_for_audit(folder)
        raise_if_unwritable(folder)
        report = audit_images(source, progress=progress)
        with displayed(progress) as display:
            write_report(report, folder, display)
    return report


def write_report(audit: Audit, folder: Path, display: Display) -> AuditReport:
    """Write ``audit.json`` and let the reporters report; a reporter that fails is a warning.

    Parameters
    ----------
    audit
        The audit, with its images.
    folder
        The folder that the audit writes to; created if missing.
    display
        Shows progress.
    """
    with naming_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_io.text(folder / "audit.json", audit.to_json_text())
    report = AuditReport(audit, folder)
    selected = [each for each in default_reporters() if type(each).audit is not Reporter.audit]
    warn_of_faults(report, make_reports(report, selected, display)[1])
    return report


def raise_if_not_for_audit(out: str | os.PathLike[str]) -> None:
    """Refuse a folder that holds anything but an earlier audit, before images are read.

    Raises
    ------
    errors.FolderError
        It does, or it is a file. An address is not looked at.
    """
    if remote.is_address(out):
        return
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise errors.FolderError(f"{folder}: this is a file", "Name another folder.")
    entries = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    others = [name for name in entries if not name.startswith(".") and name not in _FILES]
    if others:
        raise errors.FolderError(
            f"{folder}: this folder holds other files, such as {others[0]!r}",
            "Name a new or an empty folder, or that of an earlier audit.",
        )
