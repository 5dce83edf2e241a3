"""The comparison of network and expert as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision.io import escape_markdown
from cellvision_reporters.expert.record import (
    AgreementRecord,
    ExpertComparison,
    ExpertRecord,
    IntervalRecord,
)
from cellvision_reporters.figures.banners import banners
from cellvision_reporters.figures.phrasing import format_number, format_p
from cellvision_reporters.figures.tables import markdown_table

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study


def declaration(record: ExpertRecord) -> str:
    """State what is compared, and whether the experiment declared it before training."""
    subject = {
        "run": "one network (the first run of a study)",
        "mean": "the mean over the runs of a study",
    }[record.declared]
    if record.declared_beforehand:
        return f"Declared in the experiment, before training: {subject}."
    return (
        f"NOT declared before training: comparing {subject} was chosen afterwards, perhaps "
        "knowing the result."
    )


def expert_text(results: Run | Study, record: ExpertRecord) -> str:
    """Write the whole comparison as Markdown."""
    import pandas as pd

    comparisons = record.comparisons
    lines = ["# Network and expert", ""]
    lines += [item for line in banners(results) for item in (f"**{escape_markdown(line)}**", "")]
    for each in comparisons:
        prefix = f"{each.experiment}, " if each.experiment else ""
        lines += [f"**{escape_markdown(prefix + each.sentence)}**", ""]
    lines += [declaration(record), ""]
    lines += [markdown_table(pd.DataFrame([_row(each) for each in comparisons])), ""]
    lines += _interval_notes(comparisons)
    lines += ["## McNemar's exact test", "", markdown_table(_mcnemar_table(comparisons)), ""]
    dependent = (
        ", but images of one group are not: trust the interval of the difference."
        if comparisons[0].group_column is not None
        else "."
    )
    lines += [
        "The test counts images that exactly one of the two has right, and gives the probability "
        f"of so uneven a split by chance. It treats images as independent{dependent}",
        "",
        "## Agreement of raters",
        "",
    ]
    if record.agreement:
        table = pd.DataFrame([_agreement_row(each) for each in record.agreement])
        lines += [markdown_table(table), ""]
    else:
        lines += ["Unknown: no image was shown twice, and there is only one rater.", ""]
    for each in comparisons:
        lines += _matrix(each)
    return "\n".join(lines)


def _row(comparison: ExpertComparison) -> dict[str, str]:
    first = {"experiment": comparison.experiment} if comparison.experiment else {}
    groups = comparison.difference.groups
    return first | {
        "test set": comparison.split,
        "rater": comparison.rater,
        "images": f"{comparison.n} of {comparison.evaluated}",
        "groups": "unknown" if groups is None else str(groups),
        "network": _with_limits(comparison.network),
        "expert": _with_limits(comparison.expert),
        "difference": _with_limits(comparison.difference, "+.3f"),
        "verdict": comparison.verdict,
    }


def _with_limits(interval: IntervalRecord, form: str = ".3f") -> str:
    values = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (format(value, form) for value in values)
    return f"{estimate} ({low} to {high})"


def _interval_notes(comparisons: Sequence[ExpertComparison]) -> list[str]:
    """State the methods of the intervals, and their warnings."""
    intervals = [
        (each.title, interval)
        for each in comparisons
        for interval in (each.network, each.expert, each.difference)
    ]
    methods = "; ".join(dict.fromkeys(interval.method for _, interval in intervals))
    several = any(len(each.runs) > 1 for each in comparisons)
    fixed = ", for these trained networks." if several else "."
    warnings = dict.fromkeys(
        f"{title}: {interval.warning}" for title, interval in intervals if interval.warning
    )
    lines = [f"95 % intervals: {methods}. They describe other images of the same kind{fixed}", ""]
    listed = [f"- {escape_markdown(line)}" for line in warnings]
    return [*lines, *listed, *([""] if warnings else [])]


def _mcnemar_table(comparisons: Sequence[ExpertComparison]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "comparison": each.title,
                "run": test.run,
                "both right": str(test.both),
                "only the network": str(test.only_a),
                "only the expert": str(test.only_b),
                "both wrong": str(test.neither),
                "p": format_p(test.p),
            }
            for each in comparisons
            for test in each.mcnemar
        ]
    )


def _agreement_row(record: AgreementRecord) -> dict[str, str]:
    limits = f"{format_number(record.low, 2)} to {format_number(record.high, 2)}"
    return {
        "rater": record.rater,
        "with": record.other,
        "images": str(record.n),
        "same answer": f"{100 * record.agreement:.0f} %",
        "Cohen's kappa": f"{format_number(record.kappa, 2)} ({limits})",
        "warning": record.warning or "",
    }


def _matrix(comparison: ExpertComparison) -> list[str]:
    import pandas as pd

    rows = [
        {"network \\ expert": name}
        | {
            other: format_count(count)
            for other, count in zip(comparison.class_names, row, strict=True)
        }
        for name, row in zip(comparison.class_names, comparison.agreement, strict=True)
    ]
    mean = ", mean over runs" if len(comparison.runs) > 1 else ""
    return [
        f"## Answers by class: {escape_markdown(comparison.title)}",
        "",
        markdown_table(pd.DataFrame(rows)),
        "",
        f"Images by the network's class (row) and the expert's (column){mean}; "
        f"{100 * comparison.agreed:.0f} % have the same answer from both.",
        "",
    ]


def format_count(count: float) -> str:
    """Format a count, which is a mean over runs if it is not whole."""
    return f"{count:.0f}" if float(count).is_integer() else f"{count:.1f}"
