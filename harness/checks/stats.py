"""The statistics that verdicts rest on, in one place to import from.

Every verdict follows one rule: pass when the confidence interval clears the limit, fail when it
lies beyond, else inconclusive. Intervals are two-sided at the level stated (default 95 %), so a
target beyond its limit passes with probability at most ``(1 - level) / 2``.
"""

from harness.checks.means import (
    SCORE,
    betting_interval,
    bootstrap_interval,
    mean_interval,
    mean_verdict,
    paired_difference,
    paired_verdict,
)
from harness.checks.quantiles import (
    lag1_autocorrelation,
    percentile_interval,
    percentile_verdict,
    samples_for_upper_bound,
    variance_inflation,
)
from harness.checks.result import CheckResult, Interval, Side, judge
from harness.checks.sequential import look_levels, sequential
from harness.checks.shares import (
    binomial_share_verdict,
    share_interval,
    share_verdict,
    trials_for_clean_share,
    trials_for_share,
)

__all__ = [
    "SCORE",
    "CheckResult",
    "Interval",
    "Side",
    "betting_interval",
    "binomial_share_verdict",
    "bootstrap_interval",
    "judge",
    "lag1_autocorrelation",
    "look_levels",
    "mean_interval",
    "mean_verdict",
    "paired_difference",
    "paired_verdict",
    "percentile_interval",
    "percentile_verdict",
    "samples_for_upper_bound",
    "sequential",
    "share_interval",
    "share_verdict",
    "trials_for_clean_share",
    "trials_for_share",
    "variance_inflation",
]
