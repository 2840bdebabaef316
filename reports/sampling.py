"""Reads raw samples and describes them: percentiles, sliding windows, shares of failures.

These figures are drawn, never judged: the verdicts rest on the measures that the cases recorded.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.events import Samples
from reports.wording import many

FEWEST_IN_WINDOW = 20
"""A 95th percentile of fewer samples is their maximum, so no line is drawn through it."""

_WINDOWS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True)
class Sample:
    """One request: UTC seconds of its intended start, latency in seconds, whether it succeeded.

    A failed request that was never answered has an infinite latency. ``key`` says whose it was."""

    t: float
    seconds: float
    ok: bool
    arm: str
    key: str = ""


@dataclass(frozen=True)
class SampleFile:
    """What one samples file holds; ``trouble`` says why it is not, or not wholly, what was said."""

    said: Samples
    samples: tuple[Sample, ...]
    trouble: str = ""


@dataclass(frozen=True)
class Percentile:
    """A percentile with the 95 % interval of its order statistics; an open end is ``None``."""

    p: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class WindowPoint:
    """A window that ends at ``t``: 95th percentile of its successes, share of failures."""

    t: float
    p95: float | None
    failed: float
    n: int


def read_samples(run_dir: Path, said: Samples) -> SampleFile:
    """Read the samples of one ``case.samples`` record; anything wrong is told, not raised."""
    path = (run_dir / said.file).resolve()
    if not path.is_relative_to(run_dir.resolve()):
        return SampleFile(said, (), f"{said.file} lies outside the run directory")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return SampleFile(said, (), f"{said.file} could not be read: {error.strerror}")
    found, damaged = [], 0
    for line in lines:
        sample = _sample(line, said.arm)
        if sample is None:
            damaged += 1
        else:
            found.append(sample)
    found.sort(key=lambda sample: sample.t)
    trouble = f"{said.file} holds {many(damaged, 'damaged line')}" if damaged else ""
    if not damaged and len(found) != said.n:
        trouble = f"{said.file} holds {len(found)} samples where {said.n} were recorded"
    return SampleFile(said, tuple(found), trouble)


def percentile(ordered: Sequence[float], p: float) -> Percentile:
    """Return the nearest-rank ``p`` quantile of ``ordered`` values (not empty) and its interval.

    The interval comes from the ranks l < u with P(l ≤ Binomial(n, p) < u) ≥ 0.95, each tail at
    most 2.5 %; it holds for independent samples, and consecutive requests are rarely independent.
    """
    n = len(ordered)
    value = ordered[max(0, math.ceil(p * n) - 1)]
    low, high = _ranks(n, p, 0.025)
    return Percentile(
        p,
        value,
        ordered[low - 1] if low >= 1 else None,
        ordered[high - 1] if high <= n else None,
    )


def window_seconds(span: float) -> float:
    """Return a round window length of about a twenty-fifth of ``span`` seconds."""
    return next((float(width) for width in _WINDOWS_S if width >= span / 25), 3600.0)


def slide(samples: Sequence[Sample], width: float) -> list[WindowPoint]:
    """Slide a window of ``width`` seconds over ``samples`` (in order of time) in quarter steps."""
    if not samples:
        return []
    times = [sample.t for sample in samples]
    step = width / 4
    points = []
    for index in range(math.ceil((times[-1] - times[0]) / step) + 1):
        end = min(times[0] + index * step, times[-1])
        inside = samples[bisect_right(times, end - width) : bisect_right(times, end)]
        good = sorted(sample.seconds for sample in inside if sample.ok)
        p95 = good[math.ceil(0.95 * len(good)) - 1] if len(good) >= FEWEST_IN_WINDOW else None
        failed = (len(inside) - len(good)) / len(inside) if inside else 0.0
        points.append(WindowPoint(end, p95, failed, len(inside)))
    return points


def back_under(points: Iterable[WindowPoint], limit: float, after: float) -> float | None:
    """Return when the p95 fell to ``limit`` for good, having been above it since ``after``.

    ``None`` if it never rose above, or was above at the end. A failed request counts as never
    answered, so a window in which more than 5 % failed is above whatever its successes took: a
    target that answers errors quickly has not recovered.
    """
    above_seen, since = False, None
    for point in points:
        if point.t < after or point.n == 0:
            continue
        if point.failed > 0.05 or (point.p95 is not None and point.p95 > limit):
            above_seen, since = True, None
        elif above_seen and since is None and point.p95 is not None:
            since = point.t
    return since


def thin(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Keep about ``most`` samples for drawing: the slowest hundredth, and every k-th other."""
    if len(samples) <= most:
        return list(samples)
    ordered = sorted(sample.seconds for sample in samples)
    slow = ordered[int(len(ordered) * 0.99)]
    every = math.ceil(len(samples) / most)
    return [
        sample
        for index, sample in enumerate(samples)
        if index % every == 0 or sample.seconds > slow
    ]


def _sample(line: str, arm: str) -> Sample | None:
    try:
        raw = json.loads(line)
        ok = bool(raw.get("ok", True))
        unanswered = raw["seconds"] is None and not ok
        t, seconds = float(raw["t"]), math.inf if unanswered else float(raw["seconds"])
        if not (math.isfinite(t) and (unanswered or math.isfinite(seconds))):
            return None
        return Sample(t, seconds, ok, str(raw.get("arm") or arm), str(raw.get("key") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _ranks(n: int, p: float, tail: float) -> tuple[int, int]:
    """Return ranks (l, u), 1-based; l = 0 or u = n + 1 mean that end is open."""
    low, high, below = 0, n + 1, 0.0
    # Twelve standard deviations below the mean there is nothing left to add up.
    first = max(0, math.floor(n * p - 12 * math.sqrt(n * p * (1 - p))))
    for k in range(first, n + 1):
        # below is P(X < k) here.
        if below <= tail:
            low = k
        if below >= 1 - tail:
            high = k
            break
        below += math.exp(_log_binomial(n, k) + k * math.log(p) + (n - k) * math.log1p(-p))
    return low, high


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
