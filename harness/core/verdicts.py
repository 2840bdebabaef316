"""The five verdicts, their order, and how many become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """What was shown. Worst first: ERROR, FAIL, INCONCLUSIVE, SKIP, PASS; only PASS counts.

    ERROR says that the harness (or the set-up) broke, so nothing is known about the target.
    FAIL says that the target was seen to break the requirement. INCONCLUSIVE says that the
    evidence was not enough for either. SKIP says that the check did not run.
    """

    PASS = "pass"
    SKIP = "skip"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return _RANK[self]

    def __str__(self) -> str:
        return self.value


_RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; of nothing at all it is SKIP, because nothing was shown."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.SKIP)


class ExitCode:
    """What the process tells its caller (documented in ``ragdrill verify --help``)."""

    PASS = 0
    NOT_CONFORMANT = 1
    HARNESS_ERROR = 2
    USAGE = 4
    NOTHING_SHOWN = 5


def exit_code(verdicts: Iterable[Verdict], *, accept_skips: bool = False) -> int:
    """Return the exit code of a run with these case verdicts.

    A run without a single pass showed nothing, whatever else it did not do. ``accept_skips``
    leaves the verdict as it is and only lets skipped cases count as no reason to stop a pipeline.
    """
    counts = Counter(verdicts)
    if counts[Verdict.ERROR]:
        return ExitCode.HARNESS_ERROR
    if counts[Verdict.FAIL] or counts[Verdict.INCONCLUSIVE]:
        return ExitCode.NOT_CONFORMANT
    if not counts[Verdict.PASS]:
        return ExitCode.NOTHING_SHOWN
    if counts[Verdict.SKIP] and not accept_skips:
        return ExitCode.NOT_CONFORMANT
    return ExitCode.PASS
