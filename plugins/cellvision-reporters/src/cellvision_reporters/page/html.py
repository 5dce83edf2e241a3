"""One page that says everything, in one file."""

from __future__ import annotations

import base64
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Reporter, atomic_io
from cellvision_reporters.boxplot import Boxplot
from cellvision_reporters.confusion import Confusion
from cellvision_reporters.controls import Controls
from cellvision_reporters.curves import Curves
from cellvision_reporters.explain.attention import Attention
from cellvision_reporters.figures.banners import control_stamp, leak_stamp, unit_note
from cellvision_reporters.figures.experiment_runs import Arm, arms_of
from cellvision_reporters.figures.phrasing import (
    chance_words,
    interval,
    known,
    majority,
    number,
    sentence,
    tied,
    units,
)
from cellvision_reporters.learning import Learning
from cellvision_reporters.network.diagram import Diagram
from cellvision_reporters.page.cards import run_boxes, study_boxes
from cellvision_reporters.panel import Panel
from cellvision_reporters.robustness.robustness import Robustness
from cellvision_reporters.sample import Sample
from cellvision_reporters.summary import EXPLANATION, readable, summary_table
from cellvision_reporters.tables import count_table

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

_MOST_NAMES = 10
"""How many unread files are named for each reason."""

_MOST_ARMS = 12
"""For how many experiments of a study the pictures of a run are shown."""


class Html(Reporter):
    """A run or a study on one page: self-contained HTML for screen, phone and paper.

    Pictures that the other reporters have made are used; those that are missing, or older than
    the results, are made for the page.
    """

    enabled_by_default: ClassVar[bool] = True
    runs_last: ClassVar[bool] = True

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Write ``report.html``."""
        return [_write(folder, run, "Run", run_parts(run, folder))]

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Write ``report.html``."""
        return [_write(folder, study, "Study", study_parts(study, folder))]


@dataclass(frozen=True)
class Table:
    """A table for the page: headings and rows of text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Table:
        """Take a table's cells as text."""
        rows = table.itertuples(index=False, name=None)
        return cls(tuple(map(str, table.columns)), tuple(tuple(map(str, row)) for row in rows))


@dataclass(frozen=True)
class Picture:
    """An embedded picture, or why there is none."""

    title: str
    data: str = ""
    width: int = 0
    fault: str = ""


def _write(folder: Path, about: Run | Study, kind: str, parts: Mapping[str, Any]) -> Path:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cellvision_reporters"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html").render(
        kind=kind,
        name=about.folder.resolve().name,
        leak=leak_stamp(about),
        control=control_stamp(about),
        unit=_unit(about, parts["warnings"]),
        **parts,
    )
    return atomic_io.text(folder / "report.html", page)


def _unit(about: Run | Study, warnings: Sequence[str]) -> str:
    """The note on units, where no warning says the same."""
    told = any("images are taken as independent" in warning for warning in warnings)
    return "" if told else unit_note(about)


def run_parts(run: Run, folder: Path) -> dict[str, Any]:
    """What the page of a run says."""
    reports: list[tuple[str, Reporter]] = [
        ("Panels", Panel()),
        ("Learning curves", Curves()),
        ("Confusion matrices", Confusion()),
        ("Training images", Sample()),
    ]
    if (folder / Diagram().files(run)[""]).is_file():
        reports.append(("Architecture", Diagram()))
    # These take their time, and are shown where somebody asked for them.
    costly: tuple[tuple[str, Attention | Robustness], ...] = (
        ("What the network looks at", Attention()),
        ("Accuracy on changed images", Robustness()),
    )
    for title, reporter in costly:
        files = reporter.files(run).values()
        if files and all(_usable(folder / file, run) for file in files):
            reports.append((title, reporter))
    return {
        "boxes": run_boxes(run) if run.control is None else [],
        "subtitle": _asked_in_short(run.metadata),
        "warnings": list(run.warnings),
        "sentences": [
            tied(sentence(split, run.scores[split], run.metadata.group_column, _classes(run)))
            for split in run.test_splits
        ],
        "scores": [("Scores", _scores(run), _scores_note(run))],
        "leading": [],
        "sections": [(title, pictures(reporter, run, folder)) for title, reporter in reports],
        "asked": [("", _asked(run.metadata))],
        "audits": [("", _audit(run))],
        "experiments": [("", _json(run.metadata.experiment))],
        "versions": [("", _versions(run.metadata))],
        "every_run": None,
    }


def _classes(run: Run) -> int:
    return len(run.class_names)


def _scores(run: Run) -> Table:
    column = run.metadata.group_column
    counts = run.metadata.counts
    roles = {run.training_split: "training", run.validation_split: "validation"}
    rows = [
        (
            split,
            roles.get(split, "test"),
            number(score.get("accuracy")),
            interval(score),
            str(score.get("n", "–")),
            units(score.get("groups"), column),
            number(score.get("balanced_accuracy")),
            number(1 / _classes(run)),
            number(majority(counts.get(split, {}))),
            number(score.get("loss")),
        )
        for split, score in run.scores.items()
    ]
    head = (
        *("Split", "Role", "Accuracy", "95 % interval", "Images", "Units"),
        *("Balanced accuracy", "Chance", "Most common class", "Loss"),
    )
    return Table(head, tuple(rows))


def _scores_note(run: Run) -> str:
    methods = {str(s["interval"]) for s in run.scores.values() if s.get("interval")}
    how = f" Intervals: {', '.join(sorted(methods))}." if methods else ""
    return (
        "Chance is one over the number of classes; “most common class” is what always naming it "
        f"would score.{how} One run is one seed: how much seeds differ, only a study shows."
    )


def study_parts(study: Study, folder: Path) -> dict[str, Any]:
    """What the page of a study says."""
    arms = arms_of(study)
    table = summary_table(study)
    warnings = Counter(w for arm in arms for run in arm.runs for w in dict.fromkeys(run.warnings))
    total = sum(len(arm.runs) for arm in arms)
    leading = [
        ("Controls", pictures(Controls(), study, folder)),
        ("Test accuracy over runs", pictures(Boxplot(), study, folder)),
        ("Learning over epochs", pictures(Learning(), study, folder)),
    ]
    firsts = [
        (_of(arm, arms, "the first run, not chosen by its result"), _first(arm))
        for arm in arms[:_MOST_ARMS]
    ]
    return {
        "boxes": study_boxes(study),
        "subtitle": f"{len(arms)} experiment{_s(len(arms))}, {total} run{_s(total)}",
        "warnings": [f"{w} ({n} of {total} runs)" for w, n in warnings.items()],
        "sentences": [tied(_arm_sentence(row)) for row in table.to_dict("records")],
        "scores": [
            ("Summary", Table.of(readable(table)), EXPLANATION),
        ],
        "every_run": _every_run(study),
        "leading": leading,
        "sections": [(title[:1].upper() + title[1:], shown) for title, shown in firsts],
        "asked": _compared({arm.name: _asked(arm.runs[0].metadata) for arm in arms}),
        "audits": _alike([(arm.name, _audit(arm.runs[0])) for arm in arms]),
        "experiments": [
            (entry["name"], _json(entry["experiment"])) for entry in study.metadata["experiments"]
        ],
        "versions": _alike([(arm.name, _versions(arm.runs[0].metadata)) for arm in arms]),
    }


def _of(arm: Arm, arms: Sequence[Arm], what: str = "") -> str:
    """Name an experiment where there are several."""
    name = arm.name if len(arms) > 1 else ""
    return ": ".join(part for part in (name, what) if part)


def _alike(told: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Say what is the same for several experiments once."""
    names: dict[str, list[str]] = {}
    content = {}
    for name, what in told:
        names.setdefault(repr(what), []).append(name)
        content[repr(what)] = what
    titles = {key: ", ".join(of) if len(names) > 1 else "" for key, of in names.items()}
    return [(titles[key], content[key]) for key in names]


def _compared(facts: Mapping[str, Table]) -> list[tuple[str, Table]]:
    """What all experiments share, and what sets them apart."""
    columns = {name: {row[0]: row[1] for row in table.rows} for name, table in facts.items()}
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    values = {key: [column.get(key, "–") for column in columns.values()] for key in keys}
    differing = [key for key in keys if len(set(values[key])) > 1]
    shared = Table((), tuple((key, values[key][0]) for key in keys if key not in differing))
    if not differing:
        return [("", shared)]
    rows = tuple((name, *(c.get(key, "–") for key in differing)) for name, c in columns.items())
    return [("The same for all", shared), ("Different", Table(("Experiment", *differing), rows))]


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _arm_sentence(row: Mapping[Any, Any]) -> str:
    if row["role"] != "test":
        return ""
    runs = int(row["runs"])
    spread = f", SD {number(row['sd'], 3)} over {runs} runs" if runs > 1 else " (one run)"
    low, high = number(row["sampling_low"], 2), number(row["sampling_high"], 2)
    sampling = f"; 95 % sampling interval of a run {low}–{high}" if low != "–" else ""
    expert = f"; a human expert: {number(row['expert'], 2)}" if known(row["expert"]) else ""
    return (
        f"{row['experiment']}, {row['split']}: mean accuracy {number(row['mean'], 2)}{spread}"
        f"{sampling}, n = {row['n']} images; chance is {chance_words(row['chance'])}{expert}."
    )


def _every_run(study: Study) -> Table:
    shown = study.table.rename(columns=lambda name: str(name).replace("_", " "))
    for name in shown.select_dtypes("float").columns:
        shown[name] = shown[name].map(number if name != "groups" else _whole)
    return Table.of(shown)


def _whole(value: float) -> str:
    return number(value, 0)


def _first(arm: Arm) -> list[Picture]:
    run = arm.runs[0]
    folder = run.folder / "reports"
    return [*pictures(Confusion(), run, folder), *pictures(Panel(), run, folder)]


def pictures(reporter: Any, about: Run | Study, folder: Path) -> list[Picture]:
    """Use what a reporter has made in `folder`, or let it draw what is missing."""
    with tempfile.TemporaryDirectory(prefix="cellvision-") as name:
        fresh = Path(name)
        try:
            files: dict[str, str] = reporter.files(about)
            if not all(_usable(folder / file, about) for file in files.values()):
                is_study = getattr(about, "runs", None) is not None
                (reporter.study if is_study else reporter.run)(about, fresh)
        # The page is about more than one picture: it says which failed, and why.
        except Exception as error:  # noqa: BLE001
            what = (str(error).splitlines() or [""])[0]
            kind = type(reporter).__name__.lower()
            return [Picture(kind, fault=f"Not drawn: {type(error).__name__}: {what}")]
        found = []
        for split, file in files.items():
            path = fresh / file if (fresh / file).is_file() else folder / file
            if path.is_file():
                found.append(_embed(split, path))
        return found


def _usable(path: Path, about: Run | Study) -> bool:
    """Whether a picture is there and no older than the results it shows."""
    record = about.folder / ("run.json" if (about.folder / "run.json").is_file() else "study.json")
    if not path.is_file():
        return False
    return not record.is_file() or path.stat().st_mtime >= record.stat().st_mtime


def _embed(title: str, path: Path) -> Picture:
    content = path.read_bytes()
    width = int.from_bytes(content[16:20], "big")  # a PNG's header
    return Picture(title, base64.b64encode(content).decode("ascii"), width)


def _asked_in_short(record: Mapping[str, Any]) -> str:
    experiment = record.get("experiment", {})
    dataset = experiment.get("dataset", {})
    source = dataset.get("path") or dataset.get("type", "?")
    return f"{experiment.get('architecture', {}).get('type', '?')} on {source}"


def _asked(record: Mapping[str, Any]) -> Table:
    experiment = record.get("experiment", {})
    preprocessing, training = experiment.get("preprocessing", {}), experiment.get("training", {})
    augmenters = [str(a.get("type")) for a in experiment.get("augmenters") or ()]
    zero, one = record.get("intensity_zero") or 0, record.get("intensity_scale")
    facts = {
        "Data": " ".join(
            str(experiment.get("dataset", {}).get(key) or "") for key in ("type", "path")
        ),
        "Independent unit": record.get("group_column") or "unknown: images taken as independent",
        "Classes": ", ".join(record.get("class_names", ())),
        "Network": experiment.get("architecture", {}).get("type", "–"),
        "Augmentation": ", ".join(augmenters) or "none",
        "Image size": " × ".join(map(str, preprocessing.get("size", ()))) + " pixels",
        "Channels": str(preprocessing.get("channels", "–")),
        "Intensity": f"{zero:g} to {one:g} becomes 0 to 1" if one is not None else "–",
        "Epochs": str(training.get("epochs", "–")),
        "Batch size": str(training.get("batch_size", "–")),
        "Seed": str(training.get("seed", "–")),
    }
    return Table((), tuple(facts.items()))


def _audit(run: Run) -> dict[str, Any]:
    audit = run.audit or {}
    files = audit.get("files", [])
    unread = [file for file in files if file.get("status") != "read"]
    by_reason: dict[tuple[str, str], list[str]] = {}
    for file in unread:
        why = (str(file.get("status")), str(file.get("reason") or ""))
        by_reason.setdefault(why, []).append(str(file.get("file")))
    listed = tuple(
        (str(len(names)), status, reason, _some(names))
        for (status, reason), names in by_reason.items()
    )
    kinds = Counter(
        (file.get("dtype"), file.get("bit_depth"), _text(file.get("shape")))
        for file in files
        if file.get("status") == "read"
    )
    leaks = audit.get("leaks") or run.metadata.leaks or []
    return {
        "counts": Table.of(count_table(run)),
        "groups": {
            split: units(count, run.metadata.group_column)
            for split, count in (audit.get("groups") or {}).items()
            if run.metadata.group_column is not None
        },
        "status": dict(Counter(str(file.get("status")) for file in files)),
        "formats": Table(
            ("Pixel type", "Bits", "Height × width × channels", "Images"),
            tuple(
                (str(dtype), str(bits), shape, str(count))
                for (dtype, bits, shape), count in kinds.most_common(12)
            ),
        ),
        "unread": Table(("Files", "Status", "Reason", "Names"), listed),
        "leaks": [
            f"{' and '.join(leak['splits'])}: {leak['kind'].replace('_', ' ')}, "
            f"{', '.join(leak['files'][:4])}{' …' if len(leak['files']) > 4 else ''}"
            for leak in leaks[:50]
        ],
        "more_leaks": max(len(leaks) - 50, 0),
        "warnings": [w for w in audit.get("warnings", ()) if w not in run.warnings],
        "known": bool(audit),
    }


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {more} more, in audit.json" if more > 0 else shown


def _text(shape: Sequence[int] | None) -> str:
    return "–" if shape is None else " × ".join(map(str, shape))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _versions(record: Mapping[str, Any]) -> Table:
    rows = [(str(key), str(value)) for key, value in record.get("environment", {}).items()]
    rows += [(str(key), str(value)) for key, value in record.get("plugins", {}).items()]
    rows += [
        (str(key), f"{value:.4g}" if isinstance(value, float) else str(value))
        for key, value in record.get("timings", {}).items()
    ]
    return Table((), tuple(rows))
