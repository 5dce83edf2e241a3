"""Export the labels as a table that the data set ``table`` reads: label, train, look, correct."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors
from cellvision.csv_cells import format_table
from cellvision.labelling.export_answers import answers_or_error, check_target
from cellvision.prepare.provenance import delimiter_of, read_rows

if TYPE_CHECKING:
    from cellvision.labelling.answers import Answer
    from cellvision.labelling.plan import Plan
    from cellvision.labelling.store import Store

_PROVENANCE = ("groups.csv", "manifest.csv")
"""Tables beside unlabelled images, whose columns are kept."""

_DECIDED_HERE = ("file", "image", "label", "split", "agreement")


@dataclass(frozen=True)
class TableSummary:
    """What a label table holds.

    Attributes
    ----------
    images : int
        Rows of the table.
    changed : int
        Rows whose label differs from the experiment's.
    tied : int
        Images without a majority of answers.
    cannot_say : int
        Images with no answer but "cannot say".
    root : pathlib.Path or None
        What to set ``dataset.root`` to; None if files are relative to the table.
    """

    images: int
    changed: int
    tied: int
    cannot_say: int
    root: Path | None


@dataclass(frozen=True)
class _Row:
    """An image with its file, its label before labelling, and further columns."""

    image: str
    file: Path
    label: str | None
    columns: Mapping[str, str | None]


def export_table(store: Store, target: Path) -> TableSummary:
    """Write a table of file, label and provenance.

    An image gets the class that most of its answers name, repeats included. Without a majority,
    or with "cannot say" only, an image of an experiment keeps its label and an unlabelled image
    is left out. Of an experiment all images are written, with their splits, so that the table
    replaces its data set.

    Raises
    ------
    errors.InvalidInput
        There is no answer yet, `target` is no file for a table, or the data set's images are not
        files.
    """
    check_target(target)
    plan = store.plan()
    answers: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers_or_error(store):
        answers[answer.image].append(answer)
    rows = _folder_rows(Path(plan.folder), answers) if plan.folder else _experiment_rows(plan)
    labels = {row.image: _majority(answers.get(row.image, [])) for row in rows}
    written = [row for row in rows if labels[row.image][0] or row.label]
    if not written:
        raise errors.InvalidInput(
            f"{store.path}: no image has a majority of answers for a class", "Label more images"
        )
    root = _root(target, [row.file for row in written], plan)
    names = list(dict.fromkeys(name for row in written for name in row.columns))
    atomic_io.text(
        target,
        format_table(
            ["file", "label", *names, "agreement"],
            [
                [
                    _file_cell(row.file, root or target.parent),
                    labels[row.image][0] or row.label,
                    *(row.columns.get(name) for name in names),
                    labels[row.image][1],
                ]
                for row in written
            ],
        ),
    )
    undecided = [image for image in answers if labels[image][0] is None]
    unsure = sum(all(a.answer is None for a in answers[image]) for image in undecided)
    changed = sum(
        row.label is not None and labels[row.image][0] not in (None, row.label) for row in written
    )
    return TableSummary(len(written), changed, len(undecided) - unsure, unsure, root)


def _majority(answers: Sequence[Answer]) -> tuple[str | None, float | None]:
    """The class that most answers name, and the fraction of answers that name it."""
    counts = Counter(answer.answer for answer in answers if answer.answer is not None)
    if not counts:
        return None, None
    (first, most), *others = counts.most_common()
    if others and others[0][1] == most:
        return None, None
    return first, round(most / counts.total(), 3)


def _folder_rows(root: Path, images: Iterable[str]) -> list[_Row]:
    provenance: dict[str, dict[str, str]] = defaultdict(dict)
    for name in _PROVENANCE:
        for row in _read_provenance(root / name):
            provenance[row.pop("file").replace("\\", "/")].update(row)
    return [_Row(image, root / image, None, provenance[image]) for image in sorted(images)]


def _read_provenance(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    header, *lines = read_rows(path, delimiter_of(path)) or [[]]
    rows = [dict(zip(header, line, strict=False)) for line in lines]
    return [
        {
            name: value
            for name, value in row.items()
            if name == "file" or (name and value and name not in _DECIDED_HERE)
        }
        for row in rows
        if row.get("file")
    ]


def _experiment_rows(plan: Plan) -> list[_Row]:
    from cellvision.data.prepared import prepare_data
    from cellvision.experiment import experiment_from

    experiment = experiment_from(plan.experiment, "the answer file")
    locate = getattr(experiment.dataset, "locate", None)
    if locate is None:
        raise errors.InvalidInput(
            "the images of this data set are not files, so a table cannot list them",
            "Use --export for the answers by image id",
        )
    catalog = prepare_data(experiment).catalog
    names = [
        name
        for name in catalog.table.columns
        if name not in _DECIDED_HERE and not catalog.table[name].isna().all()
    ]
    return [
        _Row(
            row["image"],
            Path(locate(row["image"])),
            row["label"],
            {"split": row["split"], **{name: _text(row[name]) for name in names}},
        )
        for row in catalog.table.to_dict("records")
    ]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _root(target: Path, files: Sequence[Path], plan: Plan) -> Path | None:
    """The folder that files are relative to; None if it is that of the table."""
    home = target.absolute().parent
    if all(file.absolute().is_relative_to(home) for file in files):
        return None
    if plan.folder:
        return Path(plan.folder)
    return Path(os.path.commonpath([file.absolute().parent for file in files]))


def _file_cell(file: Path, root: Path) -> str:
    """A path relative to the root; ``./`` keeps a spreadsheet from reading it as a formula."""
    name = file.absolute().relative_to(root.absolute()).as_posix()
    return name if name[0].isalnum() else f"./{name}"
