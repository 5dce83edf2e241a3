"""Statistics for images in groups: intervals, tests, verdicts, calibration and curves.

Pure functions on arrays with one row per image. If images share a *group* (well, slide, donor),
pass ``groups``: uncertainty then comes from groups, because images of one group are not
independent. If groups share a *batch* (plate, day), pass ``batches``. Every interval says how it
was computed (``method``) and, if it deserves less trust than usual, why (``warning``).

What each function does and when to use it, the sources, and error rates measured in simulations
are in the documentation page "Statistics".
"""

from __future__ import annotations

from cellvision.statistics.accuracy import (
    CROSS_VALIDATION_FACTOR,
    accuracy_interval,
    balanced_accuracy_interval,
    cross_validated_accuracy,
)
from cellvision.statistics.agreement import Kappa, cohen_kappa
from cellvision.statistics.batch_accuracy import BatchAccuracy, batch_accuracies
from cellvision.statistics.batches import (
    BatchTable,
    batch_table,
    commonest_class_of_batch,
    cramers_v,
)
from cellvision.statistics.bootstrap import group_bootstrap
from cellvision.statistics.calibration import Calibration, calibration
from cellvision.statistics.controls import (
    MARGIN,
    ControlEvidence,
    ControlKind,
    ControlMeaning,
    ControlResult,
    Finding,
    compare_with_control,
)
from cellvision.statistics.curves import (
    PrecisionRecallCurve,
    RocCurve,
    precision_recall_curve,
    roc_curve,
)
from cellvision.statistics.deciding_groups import DecidingGroups
from cellvision.statistics.families import holm_over_families
from cellvision.statistics.group_level import (
    GroupPredictions,
    GroupScores,
    predict_groups,
    score_groups,
)
from cellvision.statistics.intervals import Interval, wilson_interval
from cellvision.statistics.looks_at_test_sets import Look, LookCount, Odometer, digest_of_test_set
from cellvision.statistics.metrics import (
    ClassificationMetrics,
    classification_metrics,
    kappa_interval,
)
from cellvision.statistics.multiplicity import ArmTest, holm, max_t_test, pairwise_differences
from cellvision.statistics.paired import McNemar, balanced_weights, mcnemar, paired_difference
from cellvision.statistics.permutation import PermutationTest, permutation_test, permuted_labels
from cellvision.statistics.pilot import Pilot, summarise_pilot
from cellvision.statistics.planning import (
    LearningCurve,
    PowerEstimate,
    groups_for_interval,
    groups_for_test,
    learning_curve,
)
from cellvision.statistics.prediction_trust import (
    AbstentionRule,
    PredictionSets,
    UnlikeGroups,
    fit_abstention,
    fit_prediction_sets,
    fit_unlike_groups,
)
from cellvision.statistics.seeds import (
    SeedSpread,
    retrained_interval,
    seed_spread,
    untrained_runs,
)
from cellvision.statistics.variance_shares import VarianceShares, variance_shares
from cellvision.statistics.verdict import SINGLE_RUN, Verdict, verdict

__all__ = [
    "CROSS_VALIDATION_FACTOR",
    "MARGIN",
    "SINGLE_RUN",
    "AbstentionRule",
    "ArmTest",
    "BatchAccuracy",
    "BatchTable",
    "Calibration",
    "ClassificationMetrics",
    "ControlEvidence",
    "ControlKind",
    "ControlMeaning",
    "ControlResult",
    "DecidingGroups",
    "Finding",
    "GroupPredictions",
    "GroupScores",
    "Interval",
    "Kappa",
    "LearningCurve",
    "Look",
    "LookCount",
    "McNemar",
    "Odometer",
    "PermutationTest",
    "Pilot",
    "PowerEstimate",
    "PrecisionRecallCurve",
    "PredictionSets",
    "RocCurve",
    "SeedSpread",
    "UnlikeGroups",
    "VarianceShares",
    "Verdict",
    "accuracy_interval",
    "balanced_accuracy_interval",
    "balanced_weights",
    "batch_accuracies",
    "batch_table",
    "calibration",
    "classification_metrics",
    "cohen_kappa",
    "commonest_class_of_batch",
    "compare_with_control",
    "cramers_v",
    "cross_validated_accuracy",
    "digest_of_test_set",
    "fit_abstention",
    "fit_prediction_sets",
    "fit_unlike_groups",
    "group_bootstrap",
    "groups_for_interval",
    "groups_for_test",
    "holm",
    "holm_over_families",
    "kappa_interval",
    "learning_curve",
    "max_t_test",
    "mcnemar",
    "paired_difference",
    "pairwise_differences",
    "permutation_test",
    "permuted_labels",
    "precision_recall_curve",
    "predict_groups",
    "retrained_interval",
    "roc_curve",
    "score_groups",
    "seed_spread",
    "summarise_pilot",
    "untrained_runs",
    "variance_shares",
    "verdict",
    "wilson_interval",
]
