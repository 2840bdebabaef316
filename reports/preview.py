"""Draws what the panels of a dashboard showed: a preview for who has no Grafana at hand.

Drawn from numbers that were recorded, never judged: that each panel has data is a case's verdict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.core.events import DashboardPreview
from reports.svg import Scale, Svg, nice_step, time_step
from reports.wording import many, number, quantity, shorten

STYLES = 8
"""Kinds of line that the style sheet tells apart; further series begin anew."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 352.0, 168.0, 58.0, 146.0
_PER_SECOND = {"reqps": "requests/s", "cps": "/s", "ops": "/s"}
_SUFFIX = {"percent": "%", "celsius": "°C", "watt": "W"}

Points = tuple[tuple[float, float | None], ...]


@dataclass(frozen=True)
class Line:
    """One series: its name, and numbers (or none) at UTC seconds."""

    name: str
    points: Points

    @property
    def last(self) -> float | None:
        """The last number, if there is one."""
        return next((value for _, value in reversed(self.points) if value is not None), None)


@dataclass(frozen=True)
class PanelView:
    """One panel; ``drawing`` is empty for one that shows its last values as text."""

    title: str
    description: str
    unit: str
    limits: tuple[float, ...]
    lines: tuple[Line, ...]
    drawing: Markup
    texts: Mapping[str, str]

    @property
    def values(self) -> list[tuple[int, str, str]]:
        """Kind of line, name and last value of each series."""
        return [
            (index % STYLES, line.name, self._told(line.last))
            for index, line in enumerate(self.lines)
        ]

    def _told(self, value: float | None) -> str:
        words = self.texts.get(f"{value:g}") if value is not None else None
        return words or shown(value, self.unit)


@dataclass(frozen=True)
class DashboardView:
    """One dashboard; ``trouble`` says why something of it is missing."""

    uid: str
    title: str
    panels: tuple[PanelView, ...]
    trouble: str = ""


def read(run_dir: Path, said: DashboardPreview) -> DashboardView:
    """Read and draw one ``case.dashboard`` record; anything wrong is told, not raised."""
    path = (run_dir / said.file).resolve()
    if not path.is_relative_to(run_dir.resolve()):
        return DashboardView(said.uid, said.title, (), f"{said.file} is outside the run directory")
    try:
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return DashboardView(
            said.uid, said.title, (), f"{said.file} could not be read: {error.strerror}"
        )
    found = []
    for index, row in enumerate(rows):
        try:
            found.append(_panel(json.loads(row), f"panel-{said.uid}-{index}"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    lost = said.panels - len(found)
    trouble = f"{said.file} lacks {many(lost, 'panel')}" if lost else ""
    return DashboardView(said.uid, said.title, tuple(found), trouble)


def shown(value: float | None, unit: str) -> str:
    """Return a number in Grafana's unit ``unit`` as a person would write it."""
    if value is None:
        return "no data"
    if unit == "percentunit":
        return f"{number(value * 100, 3)} %"
    if unit in _SUFFIX:
        return f"{number(value, 3)} {_SUFFIX[unit]}"
    if unit in _PER_SECOND:
        return f"{number(value, 3)} {_PER_SECOND[unit]}"
    if unit == "hertz":
        return f"{number(value / 1e6, 4)} MHz"
    if unit in ("s", "bytes"):
        return quantity(value, unit, 3)
    return number(value, 4)


def _panel(raw: dict[str, Any], key: str) -> PanelView:
    lines = tuple(
        Line(
            shorten(str(series["name"]), 60),
            tuple((float(at), _finite(value)) for at, value in series["points"]),
        )
        for series in raw["series"]
    )
    title, unit = str(raw["title"]), str(raw["unit"])
    limits = tuple(float(limit) for limit in raw["limits"])
    drawing = Markup("") if raw["kind"] == "stat" else _draw(title, unit, limits, lines, key)
    texts = {str(value): str(text) for value, text in raw.get("texts", {}).items()}
    return PanelView(title, str(raw["description"]), unit, limits, lines, drawing, texts)


def _finite(value: object) -> float | None:
    given = float(value) if isinstance(value, int | float) else None
    return given if given is not None and math.isfinite(given) else None


def _draw(
    title: str, unit: str, limits: Sequence[float], lines: Sequence[Line], key: str
) -> Markup:
    """Draw all series over their common time, and the limits that lie near enough to matter."""
    values = [value for line in lines for _, value in line.points if value is not None]
    times = [at for line in lines for at, _ in line.points]
    told = "; ".join(f"{line.name} {shown(line.last, unit)}" for line in lines) or "no data"
    svg = Svg(_WIDTH, _HEIGHT, key, title, f"Last values: {told}.")
    top = max(values, default=0.0)
    near = [limit for limit in limits if limit <= max(4 * top, 0) or unit.startswith("percent")]
    high = max([top, *near, 0.0]) * 1.05 or 1.0
    step = nice_step(high / 3)
    whole = 1.0 if unit == "percentunit" and top <= 1 else math.ceil(high / step) * step
    y = Scale(0, whole, _BOTTOM, 10)
    right = _WIDTH - 8
    for tick in y.ticks(3):
        svg.line(_LEFT, y(tick), right, y(tick), "grid")
        svg.text(_LEFT - 5, y(tick) + 4, shown(tick, unit).replace("requests", ""), "tick", "end")
    if times:
        first, end = min(times), max(times)
        x = Scale(first, max(end, first + 1), _LEFT, right)
        step = time_step((end - first) / 3)
        for back in range(int((end - first) / step) + 1):
            # The clock of the preview is the time before its end.
            words = "end" if back == 0 else f"−{back * step:g} s"
            svg.text(x(end - back * step), _HEIGHT - 6, words, "tick", "end")
        for index, line in enumerate(lines):
            svg.path(_path(line.points, x, y), f"series-{index % STYLES}")
    for limit in near:
        svg.line(_LEFT, y(limit), right, y(limit), "objective")
    return svg.render("panel")


def _path(points: Points, x: Scale, y: Scale) -> str:
    d, pen = "", False
    for at, value in points:
        if value is None:
            pen = False
            continue
        # A lone number between two gaps would be a line of no length.
        d += f"{'L' if pen else 'M'}{x(at):.1f} {y(value):.1f}{'' if pen else 'h.1'}"
        pen = True
    return d
