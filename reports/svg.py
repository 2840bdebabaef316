"""The few SVG shapes and axes that the charts of a report are made of.

Colours are classes of the page's style sheet, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.wording import plain


class Svg:
    """A drawing of ``width`` × ``height`` units, about one CSS pixel each.

    ``title`` and ``description`` are its text alternative; ``key`` makes their ids unique."""

    def __init__(self, width: float, height: float, key: str, title: str, description: str) -> None:
        self.width, self.height, self.key = width, height, key
        self.title, self.description = title, description
        self._parts: list[str] = []

    def rect(self, x: float, y: float, w: float, h: float, css: str, **more: object) -> None:
        self._add("rect", x=x, y=y, width=max(0.0, w), height=h, css=css, **more)

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, css=css)

    def path(self, d: str, css: str) -> None:
        if d:
            self._parts.append(f'<path d="{d}" class="{css}"/>')

    def dots(self, points: Iterable[tuple[float, float]], css: str) -> None:
        """Draw many dots as one path of zero-length strokes with round ends."""
        self.path("".join(f"M{_n(x)} {_n(y)}h0" for x, y in points), css)

    def text(self, x: float, y: float, words: str, css: str = "", anchor: str = "start") -> None:
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" class="{css}" text-anchor="{anchor}">'
            f"{escape(plain(words))}</text>"
        )

    def mark(self, shape: str, x: float, y: float, css: str, size: float = 5) -> None:
        """Draw a marker centred on a point: ring, diamond, up, down or cross."""
        s = size
        outline = {
            "ring": f"M{_n(x - s)} {_n(y)}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z",
            "diamond": f"M{_n(x)} {_n(y - s)}l{s} {s}l{-s} {s}l{-s} {-s}z",
            "up": f"M{_n(x)} {_n(y - s)}l{s} {2 * s}h{-2 * s}z",
            "down": f"M{_n(x)} {_n(y + s)}l{s} {-2 * s}h{-2 * s}z",
            "cross": f"M{_n(x - s)} {_n(y - s)}l{2 * s} {2 * s}m0 {-2 * s}l{-2 * s} {2 * s}",
        }[shape]
        self.path(outline, css)

    def render(self, css: str = "") -> Markup:
        title, description = f"{self.key}-t", f"{self.key}-d"
        return Markup(
            f'<svg class="{css}" viewBox="0 0 {_n(self.width)} {_n(self.height)}" '
            f'role="img" aria-labelledby="{title} {description}">'
            f'<title id="{title}">{escape(plain(self.title))}</title>'
            f'<desc id="{description}">{escape(plain(self.description))}</desc>'
            f"{''.join(self._parts)}</svg>"
        )

    def _add(self, name: str, *, css: str, **attributes: object) -> None:
        inside = "".join(
            f' {key}="{_n(value) if isinstance(value, float | int) else escape(value)}"'
            for key, value in attributes.items()
        )
        self._parts.append(f'<{name}{inside} class="{css}"/>')


@dataclass(frozen=True)
class Scale:
    """Maps values in [low, high] to positions in [start, end], along a line or its logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        forward: Callable[[float], float] = math.log if self.log else float
        value = min(max(value, self.low), self.high)
        share = (forward(value) - forward(self.low)) / (forward(self.high) - forward(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int) -> list[float]:
        """Return round values inside the scale."""
        return _log_ticks(self.low, self.high, about) if self.log else self._linear_ticks(about)

    def _linear_ticks(self, about: int) -> list[float]:
        step = nice_step((self.high - self.low) / max(1, about))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def latency_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """Return a scale for latencies: linear from zero, logarithmic where they span far."""
    positive = sorted(value for value in values if 0 < value < math.inf)
    if not positive:
        return Scale(0, 1, start, end)
    typical, high = positive[len(positive) // 2], positive[-1]
    if high / typical <= 12:
        step = nice_step(high / 4)
        return Scale(0, math.ceil(high / step * 1.02) * step, start, end)
    low = max(positive[len(positive) // 100], typical / 100) * 0.8
    return Scale(low, high * 1.15, start, end, log=True)


def nice_step(rough: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is at least ``rough`` (over 0)."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def time_step(rough: float) -> float:
    """Return a step of a clock: 1, 2, 5, 10, 15, 30 seconds or minutes and so on."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    return next((float(step) for step in steps if step >= rough), nice_step(max(rough, 1)))


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    found: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [10.0**power * f for power in powers for f in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) >= min(3, about):
            break
    return found


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"
