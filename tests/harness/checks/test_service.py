"""Verdicts on a load run: a void run gives errors, failures are never fast answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from harness.checks.service import (
    answered_latency,
    failure_verdict,
    latency_verdict,
    no_failure_verdict,
)
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


@dataclass
class _Samples:
    ok: np.ndarray
    answered_latency: np.ndarray


@dataclass
class _Run:
    samples: _Samples
    void_reason: str | None = None
    noted: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        return {"n": len(self.samples.ok)}


def _run(n: int, failed: int = 0, seconds: float = 0.1, void: str | None = None) -> _Run:
    ok = np.arange(n) % max(n, 1) >= failed
    return _Run(_Samples(ok, np.where(ok, seconds, np.inf)), void)


def test_a_void_run_is_an_error_for_every_question() -> None:
    run = _run(1000, void="the generator was late")
    for result in (
        latency_verdict(run, 0.95, 0.25),
        failure_verdict(run, 0.01),
        no_failure_verdict(run),
    ):
        assert result.verdict is Verdict.ERROR
        assert result.actual == "the generator was late"
    with pytest.raises(HarnessError, match="void"):
        answered_latency(run)


@pytest.mark.parametrize(
    ("run", "latency", "failures", "none_failed"),
    [
        (_run(1000), Verdict.PASS, Verdict.PASS, Verdict.PASS),
        (_run(1000, seconds=0.3), Verdict.FAIL, Verdict.PASS, Verdict.PASS),
        (_run(1000, failed=400), Verdict.FAIL, Verdict.FAIL, Verdict.FAIL),
        (_run(0), Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (_run(20), Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (_run(20, failed=1), Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.FAIL),
    ],
)
def test_each_question_has_its_own_answer(
    run: _Run, latency: Verdict, failures: Verdict, none_failed: Verdict
) -> None:
    assert latency_verdict(run, 0.95, 0.25).verdict is latency
    assert failure_verdict(run, 0.01).verdict is failures
    assert no_failure_verdict(run, at_least=100).verdict is none_failed
