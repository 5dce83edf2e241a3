"""A network, or the mean of a study, against an expert who labelled the same images blindly."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from cellvision import atomic_io, errors
from cellvision_reporters.expert.answers import read_answers
from cellvision_reporters.expert.comparison import (
    Comparison,
    Declared,
    between,
    compare,
    disagreements,
    self_agreement,
)
from cellvision_reporters.expert.figures import draw_duel, draw_images
from cellvision_reporters.figures.banners import stamps
from cellvision_reporters.figures.experiment_runs import arms_of
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.phrasing import number
from cellvision_reporters.figures.settings import Picture
from cellvision_reporters.tables import markdown

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study
    from cellvision.statistics import Interval, Kappa

SCHEMA = 1
"""The version of ``expert.json``."""


class Expert(Picture):
    """The network against an expert: accuracies, their difference, and where the two disagree.

    The answers come from ``cellvision label``. Only images that both judged are compared; an
    image that the expert saw twice counts with the first answer. What is compared is declared
    in the experiment, before anybody knows the results; the report says whether it was.
    """

    answers: Path
    """The table that ``cellvision label FILE --export`` has written."""

    rater: str | None = None
    """Whose answers. None: all raters, each by itself."""

    declared: Declared = "run"
    """What is compared: ``"run"``, one network (of a study the first run); ``"mean"``, the mean
    accuracy over all runs of a study."""

    images: Annotated[int, Field(ge=0, le=100)] = 12
    """How many images at most show where the two disagree."""

    @field_validator("answers")
    @classmethod
    def _anchored(cls, answers: Path) -> Path:
        """Make a relative path absolute: the report may be made again from another folder."""
        return answers.expanduser().absolute()

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Compare a run; write ``expert.md``, ``expert.json`` and the pictures."""
        if self.declared == "mean":
            raise errors.InvalidInput(
                "the mean of a study is declared, and this is one run",
                "Make a study of it, or declare 'run'",
            )
        return self._report(run, {"": (run,)}, run.metadata.experiment, folder)

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Compare the experiments of a study; as for `run`."""
        arms = {arm.name: arm.runs for arm in arms_of(study)}
        first = study.metadata["experiments"][0]["experiment"]
        return self._report(study, arms, first, folder)

    def _report(
        self,
        about: Run | Study,
        arms: Mapping[str, Sequence[Run]],
        asked: Mapping[str, Any],
        folder: Path,
    ) -> Sequence[Path]:
        by_rater = raters_of(self)
        found = compared(self, arms, by_rater)
        if not found:
            raise errors.InvalidInput(
                f"{self.answers}: none of its images is in a test set of {about.folder}",
                "Label the test images of this experiment: cellvision label",
            )
        beforehand = self._declared_in(asked)
        agreements = _agreements(by_rater)
        content = {
            "schema": SCHEMA,
            "answers": str(self.answers),
            "rater": self.rater,
            "declared": self.declared,
            "declared_beforehand": beforehand,
            "comparisons": [each.to_json() for each in found],
            "agreement": [{**names, **_plain(kappa)} for names, kappa in agreements],
        }
        made = [
            atomic_io.text(folder / "expert.json", json.dumps(content, indent=2)),
            atomic_io.text(
                folder / "expert.md", self._page(about, found, agreements, beforehand=beforehand)
            ),
        ]
        sheet = draw_duel(about, found, self._note(beforehand=beforehand))
        made.append(sheet.save(folder / f"expert{self.suffix}", self.dpi))
        names = file_names("expert_images", [_title(each) for each in found], self.suffix)
        for each in found:
            rows = disagreements(each).head(self.images)
            if not rows.empty:
                sheet = draw_images(about, arms[each.experiment][0], each, rows)
                made.append(sheet.save(folder / names[_title(each)], self.dpi))
        return made

    def _declared_in(self, asked: Mapping[str, Any]) -> bool:
        """Whether the experiment, as it was trained, names this comparison."""
        return any(
            str(reporter.get("type", "")).rpartition(":")[2] == "expert"
            and reporter.get("declared") == self.declared
            and reporter.get("rater") == self.rater
            for reporter in asked.get("reporters") or ()
        )

    def _note(self, *, beforehand: bool) -> str:
        what = {
            "run": "one network (of a study the first run)",
            "mean": "the mean over the runs of a study",
        }[self.declared]
        if beforehand:
            return f"Declared in the experiment, before training: {what}."
        return (
            f"NOT declared in the experiment: that {what} is compared was chosen afterwards, "
            "perhaps knowing the result."
        )

    def _page(
        self,
        about: Run | Study,
        found: Sequence[Comparison],
        agreements: Sequence[tuple[Mapping[str, str], Kappa]],
        *,
        beforehand: bool,
    ) -> str:
        import pandas as pd

        lines = ["# Network against expert", ""]
        lines += [item for line in stamps(about) for item in (f"**{line}**", "")]
        for each in found:
            sentence = each.sentence()
            named = f"{each.experiment}, {sentence}" if each.experiment else sentence
            lines += [f"**{named}**", ""]
        lines += [self._note(beforehand=beforehand), ""]
        lines += [markdown(pd.DataFrame([_row(each) for each in found])), ""]
        lines += _cautions(found)
        lines += ["## McNemar's exact test", "", markdown(pd.DataFrame(_tests(found))), ""]
        lines += [
            "Of images where exactly one of the two is right: how likely so uneven a division "
            "is by chance. It takes images as independent"
            + (
                ", which images of one unit are not: the interval of the difference is the one to "
                "trust."
                if found[0].group_column is not None
                else "."
            ),
            "",
        ]
        lines += ["## How far raters agree", ""]
        if agreements:
            rows = [{**names, **_kappa_row(kappa)} for names, kappa in agreements]
            lines += [markdown(pd.DataFrame(rows)), ""]
        else:
            lines += ["No image was shown twice, and there is one rater: this is not known.", ""]
        for each in found:
            lines += _matrix(each)
        return "\n".join(lines)


def raters_of(reporter: Expert) -> dict[str, pd.DataFrame]:
    """Every rater's answers, by name."""
    table = read_answers(reporter.answers, reporter.rater)
    return {str(name): rows for name, rows in table.groupby("rater", sort=False)}


def compared(
    reporter: Expert, arms: Mapping[str, Sequence[Run]], by_rater: Mapping[str, pd.DataFrame]
) -> list[Comparison]:
    """Every experiment against every rater on every test set that they share."""
    found = [
        compare(runs, answers, split, reporter.declared, name)
        for name, runs in arms.items()
        for split in runs[0].test_splits
        for answers in by_rater.values()
    ]
    return [each for each in found if each is not None]


def _agreements(
    by_rater: Mapping[str, pd.DataFrame],
) -> list[tuple[dict[str, str], Kappa]]:
    found = []
    for name, answers in by_rater.items():
        kappa = self_agreement(answers)
        if kappa is not None:
            found.append(({"rater": name, "with": "itself"}, kappa))
    for one, other in itertools.combinations(by_rater, 2):
        kappa = between(by_rater[one], by_rater[other])
        if kappa is not None:
            found.append(({"rater": one, "with": other}, kappa))
    return found


def _title(comparison: Comparison) -> str:
    """What tells a comparison from the others of a report."""
    parts = (comparison.experiment, comparison.split, comparison.rater)
    return " ".join(part for part in parts if part)


def _row(comparison: Comparison) -> dict[str, str]:
    first = {"experiment": comparison.experiment} if comparison.experiment else {}
    return first | {
        "test set": comparison.split,
        "rater": comparison.rater,
        "images": f"{len(comparison.images)} of {comparison.evaluated}",
        "groups": "unknown"
        if comparison.difference.groups is None
        else str(comparison.difference.groups),
        "network": _with_limits(comparison.network),
        "expert": _with_limits(comparison.expert),
        "difference": _with_limits(comparison.difference, "+.3f"),
        "verdict": comparison.verdict,
    }


def _with_limits(interval: Interval, form: str = ".3f") -> str:
    values = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (format(value, form) for value in values)
    return f"{estimate} ({low} to {high})"


def _cautions(found: Sequence[Comparison]) -> list[str]:
    """How the intervals were made, and what to mind of them."""
    methods = dict.fromkeys(
        interval.method
        for each in found
        for interval in (each.network, each.expert, each.difference)
    )
    lines = [f"Intervals (95 %): {'; '.join(methods)}. They tell of other images like these"]
    lines[0] += (
        "; the runs are taken as they are." if any(len(each.runs) > 1 for each in found) else "."
    )
    warned = dict.fromkeys(
        f"{_title(each)}: {interval.warning}"
        for each in found
        for interval in (each.network, each.expert, each.difference)
        if interval.warning
    )
    return [lines[0], "", *(f"- {line}" for line in warned), *([""] if warned else [])]


def _tests(found: Sequence[Comparison]) -> list[dict[str, str]]:
    return [
        {
            "comparison": _title(each),
            "run": run,
            "both right": str(test.both),
            "only the network": str(test.only_a),
            "only the expert": str(test.only_b),
            "both wrong": str(test.neither),
            "p": number(test.p),
        }
        for each in found
        for run, test in zip(each.runs, each.tests, strict=True)
    ]


def _plain(kappa: Kappa) -> dict[str, Any]:
    """As JSON has it, which knows no number that is none."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(kappa).items()
    }


def _kappa_row(kappa: Kappa) -> dict[str, str]:
    return {
        "images": str(kappa.n),
        "same answer": f"{100 * kappa.agreement:.0f} %",
        "Cohen's kappa": f"{number(kappa.kappa, 2)} "
        f"({number(kappa.low, 2)} to {number(kappa.high, 2)})",
        "mind": kappa.warning or "",
    }


def _matrix(comparison: Comparison) -> list[str]:
    import pandas as pd

    rows = [
        {"network \\ expert": name}
        | {
            other: f"{count:.0f}" if float(count).is_integer() else f"{count:.1f}"
            for other, count in zip(comparison.class_names, row, strict=True)
        }
        for name, row in zip(comparison.class_names, comparison.agreement, strict=True)
    ]
    mean = ", mean over runs" if len(comparison.runs) > 1 else ""
    return [
        f"## Who calls what how: {_title(comparison)}",
        "",
        markdown(pd.DataFrame(rows)),
        "",
        f"Images by the network's class (row) and the expert's (column){mean}; "
        f"{100 * comparison.agreed:.0f} % have the same answer from both.",
        "",
    ]
