"""Verdicts on a load run: latency percentiles and failed requests, and nothing from a void run."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.checks.quantiles import DEFAULT_BLOCKS, percentile_verdict
from harness.checks.result import CheckResult
from harness.checks.shares import share_verdict
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


class Samples(Protocol):
    """The part of a run's samples that a verdict needs, in arrival order."""

    @property
    def ok(self) -> NDArray[np.bool_]:
        """True where a request succeeded."""

    @property
    def answered_latency(self) -> NDArray[np.float64]:
        """Seconds from the intended start; infinite where a request did not succeed."""


class LoadRun(Protocol):
    """A finished load run, for instance ``harness.load.result.LoadResult``."""

    @property
    def samples(self) -> Samples:
        """The raw samples."""

    @property
    def void_reason(self) -> str | None:
        """Why the run shows nothing, or ``None``."""

    def summary(self) -> dict[str, Any]:
        """Return the run in a few JSON values."""


def answered_latency(run: LoadRun) -> NDArray[np.float64]:
    """Return the latencies of a run, failures as infinity; raises :class:`HarnessError` if void."""
    if run.void_reason is not None:
        raise HarnessError(
            "the load run is void, so it shows nothing",
            expected="a generator that kept to its schedule",
            actual=run.void_reason,
            next_step="lower the rate, or run on a machine with time to spare",
        )
    return run.samples.answered_latency


def latency_verdict(
    run: LoadRun, p: float, limit_s: float, level: float = 0.95, *, blocks: int = DEFAULT_BLOCKS
) -> CheckResult:
    """Judge the p-quantile of latency, where a failed request counts as never answered.

    A void run is an error.
    """
    what = f"latency p{100 * p:g}"
    if run.void_reason is not None:
        return _void(run, what)
    return percentile_verdict(
        run.samples.answered_latency, p, limit_s, level, blocks=blocks, what=what
    )


def failure_verdict(run: LoadRun, limit: float, level: float = 0.95) -> CheckResult:
    """Judge the share of requests without a successful response against ``limit``.

    A void run is an error. With ``limit`` 0 one failure fails, and none is still inconclusive: no
    sample shows a share of exactly nothing. Use :func:`no_failure_verdict` for "no failed request".
    """
    what = "share of failed requests"
    if run.void_reason is not None:
        return _void(run, what)
    ok = run.samples.ok
    return share_verdict(int(np.count_nonzero(~ok)), len(ok), limit, "max", level, what=what)


def no_failure_verdict(run: LoadRun, at_least: int = 1) -> CheckResult:
    """Judge that no request of this run failed, among at least ``at_least`` requests.

    A statement about the requests that were sent, not about a rate.
    """
    what = "failed requests"
    if run.void_reason is not None:
        return _void(run, what)
    ok = run.samples.ok
    failed = int(np.count_nonzero(~ok))
    verdict = Verdict.PASS
    if failed:
        verdict = Verdict.FAIL
    elif len(ok) < at_least or not len(ok):
        verdict = Verdict.INCONCLUSIVE
    return CheckResult(
        verdict,
        what,
        expected=f"0 of at least {at_least} requests",
        actual=f"{failed} of {len(ok)}",
        details=run.summary(),
    )


def _void(run: LoadRun, what: str) -> CheckResult:
    return CheckResult(
        Verdict.ERROR,
        what,
        expected="a load run that kept to its schedule",
        actual=run.void_reason,
        details=run.summary(),
    )
