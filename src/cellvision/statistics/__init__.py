"""How sure a result is: intervals, paired tests, permutation tests, calibration and curves.

Pure functions on arrays with one row an image. Where images share a *group* (the unit they
came from: field, well, slide, donor), pass ``groups``: the uncertainty then comes from the
groups, because images of one group are not independent. Every interval says how it was made
(``method``) and, where it deserves less trust than usual, why (``warning``).

What each interval means, when which one is used, the sources, and the coverage measured in
simulations are in the documentation page "Statistics".
"""

from __future__ import annotations

from cellvision.statistics.agreement import Kappa, cohen_kappa
from cellvision.statistics.calibration import Calibration, calibration
from cellvision.statistics.curves import (
    PrecisionRecallCurve,
    RocCurve,
    precision_recall,
    roc_curve,
)
from cellvision.statistics.intervals import (
    Interval,
    accuracy_interval,
    group_bootstrap,
    wilson,
)
from cellvision.statistics.paired import McNemar, mcnemar, paired_difference
from cellvision.statistics.permutation import Permutation, permutation_test
from cellvision.statistics.seeds import SeedSpread, seed_spread
from cellvision.statistics.variance import VarianceShares, variance_shares
from cellvision.statistics.verdict import Control, ControlResult, Verdict, verdict

__all__ = [
    "Calibration",
    "Control",
    "ControlResult",
    "Interval",
    "Kappa",
    "McNemar",
    "Permutation",
    "PrecisionRecallCurve",
    "RocCurve",
    "SeedSpread",
    "VarianceShares",
    "Verdict",
    "accuracy_interval",
    "calibration",
    "cohen_kappa",
    "group_bootstrap",
    "mcnemar",
    "paired_difference",
    "permutation_test",
    "precision_recall",
    "roc_curve",
    "seed_spread",
    "variance_shares",
    "verdict",
    "wilson",
]
