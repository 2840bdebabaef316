"""Draws latencies by percentile, and a measure's interval beside its limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from harness.core.events import Measure
from reports.sampling import Percentile, Sample, percentile
from reports.svg import Scale, Svg, latency_scale
from reports.wording import duration, many

SHOWN = (0.50, 0.95, 0.99)
"""The percentiles that are marked and told."""

_MARKS = {0.50: "ring", 0.95: "diamond", 0.99: "up"}
_NINES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
_SIZES = {"wide": (540.0, 240.0, 62.0), "narrow": (340.0, 230.0, 56.0)}


@dataclass(frozen=True)
class Distribution:
    """Latencies of the successes of one series, in order; ``failed`` counts the others."""

    case: str
    name: str
    ordered: tuple[float, ...]
    failed: int
    limit: float | None
    file: str

    @property
    def percentiles(self) -> list[Percentile]:
        return [percentile(self.ordered, p) for p in SHOWN]


def gather(
    case: str, name: str, samples: tuple[Sample, ...], limit: float | None, file: str
) -> Distribution | None:
    """Return the distribution of ``samples``, or ``None`` if not one of them succeeded."""
    good = tuple(sorted(sample.seconds for sample in samples if sample.ok))
    if not good:
        return None
    return Distribution(case, name, good, len(samples) - len(good), limit, file)


def percentile_name(p: float) -> str:
    """Return ``p95`` for 0.95 and ``p99.9`` for 0.999."""
    return f"p{p * 100:.6g}"


def range_text(found: Percentile) -> str:
    """Return an interval in words, with its open ends named."""
    if found.low is None and found.high is None:
        return "too few samples for an interval"
    if found.high is None:
        return f"at least {duration(found.low or 0)}; too few samples for an upper end"
    if found.low is None:
        return f"at most {duration(found.high)}; too few samples for a lower end"
    return f"{duration(found.low)} to {duration(found.high)}"


def draw(shown: Distribution, key: str, size: str) -> Markup:
    """Draw latency over percentile; the scale widens towards 100 % so that the tail shows."""
    width, height, left = _SIZES[size]
    n = len(shown.ordered)
    right, bottom = width - 16, height - 40
    svg = Svg(
        width, height, f"{key}-{size}", f"Latency by percentile of {shown.name}", describe(shown)
    )
    deepest = max(math.log10(n), 1.4)
    x = Scale(0, deepest, left, right)
    y = latency_scale([*shown.ordered, *([shown.limit] if shown.limit else [])], bottom, 14)
    for value in y.ticks(4):
        svg.line(left, y(value), right, y(value), "grid")
        svg.text(left - 6, y(value) + 4, duration(value, 3), "tick", "end")
    for p in _NINES:
        depth = -math.log10(1 - p)
        if depth <= deepest:
            svg.line(x(depth), 14, x(depth), bottom, "grid")
            # On the narrow drawing these labels would touch their neighbours.
            if size == "wide" or p not in (0.0, 0.9):
                svg.text(x(depth), bottom + 15, f"{p * 100:.6g} %", "tick", "middle")
    svg.text((left + right) / 2, bottom + 33, "share of successful requests", "axis", "middle")
    if shown.limit:
        svg.line(left, y(shown.limit), right, y(shown.limit), "objective")
        svg.text(left + 6, y(shown.limit) - 5, f"objective {duration(shown.limit)}", "label")
    _curve(svg, x, y, shown.ordered)
    for found in shown.percentiles:
        depth = -math.log10(1 - found.p)
        if depth > deepest:
            continue
        at = x(depth)
        low = y(found.low) if found.low is not None else bottom
        high = y(found.high) if found.high is not None else 14
        svg.line(at, low, at, high, "whisker")
        for end, there in ((low, found.low), (high, found.high)):
            if there is not None:
                svg.line(at - 4, end, at + 4, end, "whisker")
        svg.mark(_MARKS[found.p], at, y(found.value), "quantile", 4)
    return svg.render(size)


def describe(shown: Distribution) -> str:
    """Return what the drawing shows, in sentences."""
    told = "; ".join(
        f"{percentile_name(found.p)} {duration(found.value)} ({range_text(found)})"
        for found in shown.percentiles
    )
    limit = f" Objective {duration(shown.limit)}." if shown.limit else ""
    failed = f" {many(shown.failed, 'failed request')} left out." if shown.failed else ""
    return f"{many(len(shown.ordered), 'successful request')}: {told}.{limit}{failed}"


def standing(measure: Measure) -> str:
    """Say where the interval (or, without one, the value) lies by its limit; not a verdict."""
    if measure.limit is None or not isinstance(measure.value, int | float):
        return ""
    low, high = measure.interval or (measure.value, measure.value)
    if measure.side == "min":
        low, high, limit = -high, -low, -measure.limit
    else:
        limit = measure.limit
    if any(math.isnan(number) for number in (low, high, limit)):
        return "not comparable"
    if high <= limit:
        return "within"
    if low > limit:
        return "beyond"
    return "across"


def interval_glyph(measure: Measure) -> Markup:
    """Draw value, interval and limit in a small strip; the numbers stand beside it as text."""
    low, high = measure.interval or (measure.value, measure.value)
    numbers = [low, high, measure.value, measure.limit]
    if any(not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        return Markup("")
    ends = [n for n in numbers if n is not None]
    span = max(ends) - min(ends) or abs(ends[0]) or 1.0
    x = Scale(min(ends) - span * 0.25, max(ends) + span * 0.25, 2, 118)
    shade = (x(measure.limit or 0), 118) if measure.side == "max" else (2, x(measure.limit or 0))
    return Markup(
        '<svg class="interval" viewBox="0 0 120 18" aria-hidden="true">'
        f'<rect x="{shade[0]:.1f}" y="1" width="{shade[1] - shade[0]:.1f}" height="16" '
        'class="beyond"/>'
        f'<line x1="{x(measure.limit or 0):.1f}" y1="1" x2="{x(measure.limit or 0):.1f}" y2="17" '
        'class="limit"/>'
        f'<line x1="{x(low):.1f}" y1="9" x2="{x(high):.1f}" y2="9" class="whisker"/>'
        f'<circle cx="{x(measure.value):.1f}" cy="9" r="3.4" class="quantile"/></svg>'
    )


def _curve(svg: Svg, x: Scale, y: Scale, ordered: tuple[float, ...]) -> None:
    """Draw the order statistics, at most some three hundred of them, denser in the tail."""
    n = len(ordered)
    ranks = {0, n - 1} | {
        min(n - 1, round(n * (1 - 10 ** (-step / 300 * math.log10(max(n, 2))))))
        for step in range(301)
    }
    d = ""
    for rank in sorted(ranks):
        depth = -math.log10(1 - rank / n)
        d += f"{'L' if d else 'M'}{x(depth):.1f} {y(ordered[rank]):.1f}"
    svg.path(d, "p95")
