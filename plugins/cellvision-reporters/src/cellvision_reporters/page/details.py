"""Details at the end of the page: settings, data and audit, versions and times."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellvision import errors, load_run
from cellvision_reporters.figures.phrasing import (
    SOLVED,
    format_groups,
    format_intensities,
    format_range,
)
from cellvision_reporters.page.content import Table

if TYPE_CHECKING:
    from cellvision import Audit, Run, Study
    from cellvision.results.artifacts import ReporterRecord

_MOST_NAMES = 10
"""Most files named for each reason why files were not read."""

_MOST_LEAKS = 50


@dataclass(frozen=True)
class Detail:
    """One block of details.

    Attributes
    ----------
    title : str
        Heading.
    tables : list of (str, Table)
        Tables with their own headings.
    paragraphs : list of str
        Text.
    lists : list of (str, list of str)
        Lists with their headings.
    code : list of (str, str)
        Literal text with its headings; shown folded.
    """

    title: str
    tables: list[tuple[str, Table]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    lists: list[tuple[str, list[str]]] = field(default_factory=list)
    code: list[tuple[str, str]] = field(default_factory=list)


def run_details(run: Run) -> list[Detail]:
    """Return the details of a run."""
    return [
        Detail("Settings", [("", _settings(run, [run]))]),
        _data_detail([("", run)]),
        Detail("Complete experiment", code=[("", _json(run.metadata.experiment))]),
        Detail("Versions and times", [("", _versions(run))]),
    ]


def study_details(study: Study) -> list[Detail]:
    """Return the details of a study, from the first run of each experiment."""
    finished = [each for each in study.experiments if each.runs]
    first = [(each.name, each.runs[0]) for each in finished]
    settings = _merged([(each.name, _settings(each.runs[0], each.networks)) for each in finished])
    experiments = [(each.name, _json(each.record.experiment)) for each in study.experiments]
    return [
        Detail("Settings", settings),
        _data_detail(_distinct_data(first)),
        Detail("Complete experiments", code=experiments),
        Detail("Versions and times", _merged([(name, _versions(run)) for name, run in first])),
    ]


def _merged(tables: Sequence[tuple[str, Table]]) -> list[tuple[str, Table]]:
    """Show rows that all tables share once, and the others side by side."""
    if len(tables) == 1:
        return [("", tables[0][1])]
    columns = {name: {row[0]: row[1] for row in table.rows} for name, table in tables}
    keys = list(dict.fromkeys(key for rows in columns.values() for key in rows))
    common = [key for key in keys if len({rows.get(key) for rows in columns.values()}) == 1]
    differing = [key for key in keys if key not in common]
    first = columns[tables[0][0]]
    merged = [("The same for all", Table((), tuple((key, first[key]) for key in common)))]
    if differing:
        rows = tuple(
            (name, *(values.get(key, "–") for key in differing)) for name, values in columns.items()
        )
        merged.append(("Different", Table(("experiment", *differing), rows)))
    return merged


def _distinct_data(runs: Sequence[tuple[str, Run]]) -> list[tuple[str, Run]]:
    """Return one run if all have the same audit."""
    audits = [_audit(run) for _, run in runs]
    return [("", runs[0][1])] if all(audit == audits[0] for audit in audits) else list(runs)


def reporter_settings(reports: Sequence[ReporterRecord]) -> list[tuple[str, str]]:
    """Return the name and the settings of each reporter that ran."""
    return [
        (
            entry.reporter,
            ", ".join(f"{k} = {v!r}" for k, v in entry.settings.items() if k != "type"),
        )
        for entry in reports
    ]


def failed_reporters(reports: Sequence[ReporterRecord]) -> list[str]:
    """Return a warning for each reporter that failed."""
    return [
        f"The reporter {entry.reporter!r} failed{when}: {fault}"
        for entry in reports
        for when, fault in (("", entry.fault), (" during the training", entry.training_fault))
        if fault
    ]


def failed_during_trainings(study: Study) -> list[str]:
    """Return a warning for each reporter that failed during trainings of a study."""
    runs = [load_run(study.folder / "runs" / record.name) for record in study.metadata.runs]
    counts = Counter(
        f"The reporter {entry.reporter!r} failed during the training: {entry.training_fault}"
        for run in runs
        for entry in run.reports
        if entry.training_fault
    )
    return [f"{line} ({count} of {len(runs)} trainings)" for line, count in counts.items()]


def _settings(run: Run, networks: Sequence[Run]) -> Table:
    """Return the settings of a run; what trainings may differ in, from all networks."""
    experiment: Mapping[str, Any] = run.metadata.experiment
    training = experiment.get("training", {})
    dataset = experiment.get("dataset", {})
    augmenters = [str(each.get("type")) for each in experiment.get("augmenters") or ()]
    preprocessing = run.preprocessing
    intensities = format_intensities(each.intensity_range for each in networks)
    facts = {
        "Data": " ".join(str(dataset.get(key) or "") for key in ("type", "path")).strip(),
        "Group": run.unit_column or "unknown: images treated as independent",
        "Classes": ", ".join(run.class_names),
        "Splitter": _splitter(experiment.get("split") or {}),
        "Network": str(experiment.get("architecture", {}).get("type", "–")),
        "Augmentation": ", ".join(augmenters) or "none",
        "Image size": " × ".join(map(str, preprocessing.size)) + " pixels",
        "Channels": _plain(preprocessing.channels),
        "Intensity": f"{intensities} becomes 0 to 1",
        **_training_facts(networks, training),
        "Seed": ", ".join(map(str, sorted({each.seed for each in networks}))),
    }
    if experiment.get("recipe"):
        facts["Recipe"] = _with_settings(experiment["recipe"], experiment.get("recipe_settings"))
    for name, reason in (experiment.get("recipe_reasons") or {}).items():
        facts[f"{name}, chosen by recipe {experiment.get('recipe')}"] = reason
    return Table((), tuple((key, value) for key, value in facts.items() if value))


def _training_facts(networks: Sequence[Run], training: Mapping[str, Any]) -> dict[str, str]:
    """Return epochs and batch size, or that they had no effect."""
    if all(run.metadata.solved for run in networks):
        return {"Training": SOLVED}
    batch_size = str(training.get("batch_size", "–"))
    return {"Epochs": _epochs(networks, training), "Batch size": batch_size}


def _epochs(networks: Sequence[Run], training: Mapping[str, Any]) -> str:
    """Return how many epochs were trained, of how many, and whose weights were kept."""
    planned = str(training.get("epochs", "–"))
    done = [len(run.history) for run in networks]
    kept = [run.metadata.kept_epoch for run in networks]
    if None in kept:
        return planned
    ended = planned if format_range(done) == planned else f"{format_range(done)} of {planned}"
    if kept == done:
        return ended
    noun = "epoch" if len(set(kept)) == 1 else "epochs"
    return f"{ended}; the weights of {noun} {format_range(kept)} were kept"


def _splitter(split: Mapping[str, Any]) -> str:
    """Return the splitter with its settings; empty if the data set or cellvision divides."""
    splitter = split.get("splitter")
    return _with_settings(str(splitter["type"]), splitter) if splitter else ""


def _with_settings(name: str, settings: Mapping[str, Any] | None) -> str:
    listed = ", ".join(f"{k} = {v}" for k, v in (settings or {}).items() if k != "type")
    return f"{name} ({listed})" if listed else name


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))


def _audit(run: Run) -> Audit | None:
    """Return the audit of a run; None if its file is missing or damaged."""
    try:
        return run.audit
    except errors.FolderError:
        return None


def _data_detail(runs: Sequence[tuple[str, Run]]) -> Detail:
    detail = Detail("Data and audit")
    for title, run in runs:
        _add_audit(detail, title, run, _audit(run))
    return detail


def _add_audit(detail: Detail, title: str, run: Run, audit: Audit | None) -> None:
    prefix = f"{title}: " if title else ""
    if audit is None:
        detail.paragraphs.append(f"{prefix}audit.json is missing or damaged.")
        return
    status = Counter(file.status for file in audit.files)
    counts = ", ".join(f"{count} {name}" for name, count in status.items())
    detail.paragraphs.append(f"{prefix}files: {counts}.")
    if run.group_column is not None and audit.groups:
        groups = audit.groups.items()
        parts = [f"{split} {format_groups(n, run.group_column)}" for split, n in groups]
        detail.paragraphs.append(f"{prefix}groups: {', '.join(parts)}.")
    detail.tables.append((f"{prefix}Pixel formats", _formats(audit)))
    unread = unread_files(audit)
    if unread.rows:
        detail.tables.append((f"{prefix}Files that were not used", unread))
    if audit.leaks:
        detail.lists.append((f"{prefix}Leaks", leak_lines(audit)))
    warnings = [line for line in audit.warnings if line not in run.warnings]
    if warnings:
        detail.lists.append((f"{prefix}Warnings of the audit", warnings))


def leak_lines(audit: Audit) -> list[str]:
    """Return one line per leak."""
    lines = [
        f"{' and '.join(leak.splits)}: {leak.kind.replace('_', ' ')}, {_some(leak.files, 4)}"
        for leak in audit.leaks[:_MOST_LEAKS]
    ]
    more = len(audit.leaks) - _MOST_LEAKS
    return [*lines, *([f"and {more} more"] if more > 0 else [])]


def _formats(audit: Audit) -> Table:
    kinds = Counter(
        (str(file.dtype), str(file.bit_depth), _shape(file.shape))
        for file in audit.files
        if file.status == "read"
    )
    return Table(
        ("pixel type", "bits", "height × width × channels", "images"),
        tuple((*kind, str(count)) for kind, count in kinds.most_common(12)),
    )


def unread_files(audit: Audit) -> Table:
    """Return one row per reason why files were not used."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for file in audit.files:
        if file.status != "read":
            by_reason.setdefault((file.status, file.reason), []).append(file.file)
    return Table(
        ("status", "files", "reason", "names"),
        tuple(
            (status, str(len(names)), reason, _some(names, _MOST_NAMES))
            for (status, reason), names in by_reason.items()
        ),
    )


def _some(names: Sequence[str], most: int) -> str:
    more = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {more} more (see audit.json)" if more > 0 else shown


def _shape(shape: Sequence[int] | None) -> str:
    return "–" if shape is None else " × ".join(map(str, shape))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _versions(run: Run) -> Table:
    metadata = run.metadata
    environment = metadata.environment.model_dump(exclude_none=True)
    timings = metadata.timings.model_dump()
    rows = [(_readable(key), str(value)) for key, value in environment.items() if value != ""]
    rows += [(key.partition(":")[2], value) for key, value in metadata.plugins.items()]
    rows += [
        (_readable(key), f"{value:.4g}" if isinstance(value, float) else str(value))
        for key, value in timings.items()
    ]
    return Table((), tuple(rows))


def _readable(key: str) -> str:
    """Write a key for people: ``fit_s`` becomes ``fit (s)``."""
    words = key.replace("_per_s", " per second")
    return (f"{words[:-2]} (s)" if words.endswith("_s") else words).replace("_", " ")
