"""p-values of several families of tests, such as several arms on each of several test sets."""

from __future__ import annotations

from collections.abc import Sequence

from cellvision.statistics import validation


def holm_over_families(families: Sequence[Sequence[float]]) -> list[list[float]]:
    """Adjust p-values for the number of families, each adjusted for its own tests before.

    A family is what `max_t_test` adjusts: arms on the same images. From the smallest p-value up,
    each is multiplied by the number of families of which a p-value is left. With one family
    nothing changes; with one test in each family, the result is that of `holm`.

    Parameters
    ----------
    families
        Adjusted p-values of each family, from a step-down test such as `max_t_test`.

    Returns
    -------
    list of list of float
        Adjusted p-values, ordered as `families`. The probability that any true null hypothesis of
        any family has one at or below a level is at most that level.

    Raises
    ------
    InvalidInput
        A family is empty, or a value lies outside 0 to 1.

    Notes
    -----
    A sequentially rejective test (Goeman and Solari 2010, Ann. Stat. 38, 3782-3810). It is valid
    because it meets their two conditions. If only true hypotheses are left, in k families, each
    family rejects any of them with a probability of at most level / k, by max-T whatever their
    dependence, so all k together with at most the level. And what is rejected while others are
    left is rejected without them: fewer hypotheses lower k and the maximum that a statistic is
    compared with. A family counts until its last hypothesis is rejected: to apply `holm` to the
    test sets of each arm would let several arms spend the whole level on their last test set.

    Examples
    --------
    >>> holm_over_families([[0.01, 0.2], [0.02]])
    [[0.02, 0.2], [0.04]]
    >>> holm_over_families([[0.01], [0.04], [0.03]])
    [[0.03], [0.06], [0.06]]
    """
    values = [validation.check_fractions(family, "p_values") for family in families]
    left = [len(family) for family in values]
    order = sorted(
        (float(p), family, test) for family, row in enumerate(values) for test, p in enumerate(row)
    )
    adjusted = [[0.0] * len(row) for row in values]
    largest = 0.0
    for p, family, test in order:
        largest = max(largest, min(p * sum(number > 0 for number in left), 1.0))
        adjusted[family][test] = round(largest, 12)
        left[family] -= 1
    return adjusted
