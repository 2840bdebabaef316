"""Draws a scenario: its arms one below the other on one time axis, in one SVG."""

from __future__ import annotations

from dataclasses import dataclass, replace

from markupsafe import Markup

from reports.sampling import thin
from reports.scenario import Arm, Moment, Scenario, Span
from reports.svg import Scale, Svg, latency_scale, time_step
from reports.wording import duration, offset, quantity

_CHARACTER = 6.4
"""Units that a character of chart text takes at 11.5 units, on average, on the wide side."""

_NO_LOAD_PLOT = 24
"""Height of an arm in which nobody asked anything: room for the fault's name, and no scale."""

_MARKS = {"condition": "ring", "action": "diamond", "effect": "up", "undo": "diamond"}


@dataclass(frozen=True)
class _Frame:
    """Sizes of one drawing: the wide one for a desk and paper, the narrow one for a phone."""

    width: float
    left: float
    right: float
    plot: float
    dots: int


_FRAMES = {
    "wide": _Frame(920, 66, 16, 160, 2400),
    "narrow": _Frame(348, 52, 8, 150, 700),
}


def draw(scenario: Scenario, key: str, size: str) -> Markup:
    """Return the drawing in ``size`` wide or narrow; ``key`` is unique in the page."""
    frame = _FRAMES[size]
    y_values = [sample.seconds for arm in scenario.arms for sample in arm.samples]
    if not y_values:
        frame = replace(frame, plot=_NO_LOAD_PLOT)
    elif scenario.limit is not None:
        y_values.append(scenario.limit)
    heights = [_height(arm, frame) for arm in scenario.arms]
    svg = Svg(
        frame.width,
        sum(heights) + 34,
        f"{key}-{size}",
        f"Timeline of {scenario.case.id}",
        describe(scenario),
    )
    x = Scale(scenario.start, scenario.end, frame.left, frame.width - frame.right)
    step = time_step((scenario.end - scenario.start) / ((frame.width - frame.left) / 75))
    first = -(-scenario.start // step)
    ticks = [
        (first + index) * step
        for index in range(int((scenario.end - scenario.start) / step) + 1)
        if (first + index) * step <= scenario.end
    ]
    top = 0.0
    for arm, height in zip(scenario.arms, heights, strict=True):
        _draw_arm(svg, frame, x, y_values, ticks, scenario, arm, top)
        top += height
    for tick in ticks:
        room = frame.width - x(tick)
        anchor = "end" if room < 30 else "middle"
        at = frame.width - 1 if room < 30 else x(tick)
        svg.text(at, top + 14, offset(tick) if tick else "0", "tick", anchor)
    svg.text(
        frame.left + (frame.width - frame.left - frame.right) / 2,
        top + 30,
        f"time since {scenario.arms[0].zero_is}",
        "axis",
        "middle",
    )
    return svg.render(size)


def describe(scenario: Scenario) -> str:
    """Return what the drawing shows, in sentences."""
    said = []
    for arm in scenario.arms:
        highest = max((p.p95 for p in arm.points if p.p95 is not None), default=None)
        text = f"Arm {arm.name}: {f'{len(arm.samples):,}' if arm.samples else 'no'} requests"
        if highest is not None:
            text += f", sliding p95 at most {duration(highest)}"
        failed = sum(1 for sample in arm.samples if not sample.ok)
        text += f", {failed:,} failed" if failed else ""
        if arm.recovered is not None:
            how = "with the fault still on" if arm.recovered_under_fault else "after it was undone"
            back = scenario.limit is not None
            what = "back at the objective" if back else "no more failures from"
            text += f", {what} {offset(arm.recovered)} {how}"
        elif scenario.limit is not None and arm.faults and arm.samples:
            text += ", not seen to come back to the objective"
        said.append(text + ".")
    return " ".join(said)


def _alert_names(arm: Arm) -> list[str]:
    return list(dict.fromkeys(alert.what.rpartition(" ")[0] for alert in arm.alerts))


def _height(arm: Arm, frame: _Frame) -> float:
    strip = 36 if arm.any_failed else 0
    lanes = 32 * len(_alert_names(arm)) + (28 if arm.steps else 0)
    return 44 + frame.plot + strip + lanes + 16


def _draw_arm(
    svg: Svg,
    frame: _Frame,
    x: Scale,
    y_values: list[float],
    ticks: list[float],
    scenario: Scenario,
    arm: Arm,
    top: float,
) -> None:
    left, right = frame.left, frame.width - frame.right
    svg.text(left, top + 14, f"{arm.name} arm", "arm")
    _phases(svg, x, arm.phases, top + 22)
    upper, lower = top + 44, top + 44 + frame.plot
    bottom = lower + _height(arm, frame) - 44 - frame.plot - 12
    for tick in ticks:
        svg.line(x(tick), upper, x(tick), bottom, "grid")
    y = latency_scale(y_values, lower, upper) if y_values else None
    for value in y.ticks(4) if y else ():
        svg.line(left, y(value), right, y(value), "grid")
        svg.text(left - 6, y(value) + 4, duration(value, 3), "tick", "end")
    for span in arm.faults:
        # What is slow lies at the head, what was refused at once at the foot.
        named_at = upper + 14 if _mostly_failed(arm, span) else lower - 6
        _fault(svg, x, span, upper, lower, named_at, frame)
    svg.rect(left, upper, right - left, lower - upper, "frame")
    if y:
        _samples(svg, x, y, arm, frame)
        if scenario.limit is not None:
            _objective(svg, y, scenario.limit, left, right)
    below = lower
    if arm.any_failed:
        _failures(svg, x, arm, below + 4, frame)
        below += 36
    for name in _alert_names(arm):
        states = [alert for alert in arm.alerts if alert.what.startswith(name + " ")]
        _alert(svg, x, states, arm.end, below + 4, frame)
        below += 32
    if arm.steps:
        _steps(svg, x, arm.steps, below + 4, frame)
    if arm.recovered is not None:
        at = x(arm.recovered)
        css = "recovered" if arm.recovered_under_fault else "late"
        what = "p95 back" if scenario.limit is not None else "errors over"
        words = f"{what} {offset(arm.recovered)}"
        words += "" if arm.recovered_under_fault else ", fault undone"
        svg.line(at, upper, at, lower, css)
        _beside(svg, at, upper + 28, words, "label", frame)


def _phases(svg: Svg, x: Scale, phases: tuple[Span, ...], top: float) -> None:
    for index, span in enumerate(phases):
        start, end = x(span.start), x(span.to)
        if span.what == "end" or end - start < 1:
            continue
        svg.rect(start, top, end - start - 1, 17, f"phase phase-{index % 2}")
        if end - start > len(span.what) * _CHARACTER + 8:
            svg.text(start + 5, top + 12.5, span.what, "tick")


def _mostly_failed(arm: Arm, span: Span) -> bool:
    inside = [sample.ok for sample in arm.samples if span.start <= sample.t <= span.to]
    return inside.count(False) * 2 > len(inside)


def _fault(
    svg: Svg, x: Scale, span: Span, upper: float, lower: float, named_at: float, frame: _Frame
) -> None:
    start, end = x(span.start), x(span.to)
    svg.rect(start, upper, end - start, lower - upper, "fault")
    svg.rect(start, upper, end - start, lower - upper, "hatch", fill="url(#hatch)")
    room = max(end, frame.width - frame.right) - start
    words = f"fault on: {span.what}"
    if len(words) * _CHARACTER > room:
        words = "fault on"
    svg.text(start + 5, named_at, words, "label")


def _samples(svg: Svg, x: Scale, y: Scale, arm: Arm, frame: _Frame) -> None:
    shown = thin([sample for sample in arm.samples if sample.ok], frame.dots)
    svg.dots([(x(s.t), y(s.seconds)) for s in shown], "dots")
    failed = [sample for sample in arm.samples if not sample.ok]
    for sample in failed[:: max(1, len(failed) // 200)]:
        svg.mark("cross", x(sample.t), y(sample.seconds), "failed-dot", 2)
    d, pen_down = "", False
    for point in arm.points:
        if point.p95 is None:
            pen_down = False
            continue
        d += f"{'L' if pen_down else 'M'}{x(point.t):.1f} {y(point.p95):.1f}"
        pen_down = True
    svg.path(d, "p95-halo")
    svg.path(d, "p95")


def _objective(svg: Svg, y: Scale, limit: float, left: float, right: float) -> None:
    svg.line(left, y(limit), right, y(limit), "objective")
    svg.text(left + 4, y(limit) - 5, f"objective {duration(limit)}", "label")


def _failures(svg: Svg, x: Scale, arm: Arm, top: float, frame: _Frame) -> None:
    """Draw the share of failed requests as a strip, full height being every request."""
    svg.text(frame.left - 6, top + 13, "failed", "tick", "end")
    svg.line(frame.left, top + 16, frame.width - frame.right, top + 16, "grid")
    inside = [point for point in arm.points if point.n]
    if inside:
        d = f"M{x(inside[0].t):.1f} {top + 16:.1f}"
        d += "".join(f"L{x(p.t):.1f} {top + 16 - 15 * p.failed:.1f}" for p in inside)
        svg.path(d + f"L{x(inside[-1].t):.1f} {top + 16:.1f}z", "failed-area")
        most = quantity(max(point.failed for point in inside), "share", 2)
        words = f"up to {most} of the requests of a window"
        first = next((point.t for point in inside if point.failed), inside[0].t)
        start = min(x(first), frame.width - frame.right - len(words) * _CHARACTER)
        svg.text(max(frame.left, start), top + 29, words, "label")


def _alert(
    svg: Svg, x: Scale, states: list[Moment], over: float, top: float, frame: _Frame
) -> None:
    """Draw pending as an outline, firing as a solid bar to its end or that of the arm (``over``),
    delivery as a triangle."""
    svg.text(frame.left - 6, top + 12, "alert", "tick", "end")
    bars = {"pending": "pending", "firing": "firing", "delivered": "firing"}
    timed = [state for state in states if state.state in ("pending", "firing", "resolved")]
    timed += [state for state in states if state.state == "inactive"]
    timed.sort(key=lambda state: state.at)
    for index, state in enumerate(timed):
        until = timed[index + 1].at if index + 1 < len(timed) else over
        if state.state in bars:
            svg.rect(x(state.at), top + 4, x(until) - x(state.at), 8, bars[state.state])
    for state in states:
        if state.state == "delivered":
            svg.mark("down", x(state.at), top + 7, "delivered", 4.5)
    name = states[0].what.rpartition(" ")[0]
    told = [state for state in states if state.state != "inactive"]
    if frame.width < 600:
        told = [s for s in told if s.state in ("firing", "delivered")] or told[:2]
    words = ", ".join(f"{s.state} {offset(s.at)}" for s in told) or "stayed inactive"
    if frame.width > 600:
        words = f"{name}: {words}"
    start = x(told[0].at) if told else frame.left
    start = min(start, frame.width - frame.right - len(words) * _CHARACTER)
    svg.text(max(frame.left, start), top + 25, words, "label")


def _steps(svg: Svg, x: Scale, steps: tuple[Moment, ...], top: float, frame: _Frame) -> None:
    svg.text(frame.left - 6, top + 13, "steps", "tick", "end")
    numbered: set[int | None] = set()
    edge = -100.0
    for step in steps:
        at = x(step.at)
        shape = _MARKS.get(step.stage, "ring") if step.ok else "cross"
        svg.mark(shape, at, top + 8, f"step step-{step.stage}" if step.ok else "step-bad", 4)
        if step.number not in numbered and at - edge > 8:
            svg.text(at, top + 24, str(step.number), "tick", "middle")
            numbered.add(step.number)
            edge = at


def _beside(svg: Svg, at: float, y: float, words: str, css: str, frame: _Frame) -> None:
    """Write right of a point, or left of it where the drawing ends."""
    if at + 6 + len(words) * _CHARACTER < frame.width - frame.right:
        svg.text(at + 6, y, words, css)
    else:
        svg.text(max(at - 6, frame.left + len(words) * _CHARACTER), y, words, css, "end")
