"""Permutation tests of an evaluation, adjusted for its test sets and for looks as in a study."""

from __future__ import annotations

from collections.abc import Mapping

from cellvision.results.evaluation import Evaluation, TestRecord
from cellvision.statistics import LookCount, holm_over_families, permutation_test
from cellvision.studies.verdict import groups_and_batches


def test_records(evaluation: Evaluation, looks: Mapping[str, LookCount]) -> dict[str, TestRecord]:
    """Test each test set of an evaluation.

    Parameters
    ----------
    evaluation
        The evaluation, with its tables.
    looks
        How often each test set has been looked at; empty if that is unknown.

    Returns
    -------
    dict
        By test set. One that has a single class is left out: there is nothing to permute.
    """
    tests = {}
    for split in evaluation.test_splits:
        rows = evaluation.predictions_of(split).set_index("image")
        if rows["label"].nunique() < 2:
            continue
        groups, batches = groups_and_batches(evaluation, rows)
        labels, predicted = rows["label"].to_numpy(), rows["predicted"].to_numpy()
        tests[split] = permutation_test(labels, predicted, groups, batches=batches)
    p_values = [test.p for test in tests.values()]
    if len(p_values) > 1:
        p_values = [p for (p,) in holm_over_families([[p] for p in p_values])]
    return {
        split: TestRecord(
            p=looks[split].adjust(p) if split in looks else p,
            p_over_test_sets=p,
            unadjusted_p=test.p,
            smallest_p=test.smallest_p,
            exact=test.exact,
            permuted=test.permuted,
        )
        for (split, test), p in zip(tests.items(), p_values, strict=True)
    }
