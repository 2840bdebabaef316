"""Alert windows are shortened, and nothing else in a rule changes."""

from __future__ import annotations

import pytest
import yaml

from harness.core.errors import UsageError
from harness.drivers.embedded.places import CONFIG
from harness.drivers.embedded.rules import milliseconds, scale_expression, scale_rules, scaled


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("5m", 300_000), ("1h30m", 5_400_000), ("90s", 90_000), ("250ms", 250), ("1w", 604_800_000)],
)
def test_durations_are_read_as_prometheus_writes_them(duration: str, expected: int) -> None:
    assert milliseconds(duration) == expected


@pytest.mark.parametrize("duration", ["", "5", "m5", "5 m", "-5m", "5m!"])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        milliseconds(duration)


@pytest.mark.parametrize(
    ("duration", "scale", "expected"),
    [("10m", 60, "10s"), ("5m", 60, "5s"), ("10m", 1, "600s"), ("10s", 60, "167ms")],
)
def test_a_duration_is_divided(duration: str, scale: float, expected: str) -> None:
    assert scaled(duration, scale) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(a[5m]) > 0.25", "rate(a[5s]) > 0.25"),
        ("max_over_time(rate(a[5m])[1h:5m])", "max_over_time(rate(a[5s])[60s:5s])"),
        ("max_over_time(a[1h:])", "max_over_time(a[60s:])"),
        ('rate(a{b="x[5m]"}[5m])', 'rate(a{b="x[5m]"}[5s])'),
        (r"""rate(a{b=~'\'[5m]'}[5m])""", r"""rate(a{b=~'\'[5m]'}[5s])"""),
        ("time() - a > 300", "time() - a > 300"),
        ("rate(a[5m] offset 10m)", "rate(a[5s] offset 10m)"),
    ],
)
def test_only_windows_change_in_an_expression(expression: str, expected: str) -> None:
    assert scale_expression(expression, 60) == expected


def test_a_window_too_short_for_samples_is_refused_with_the_largest_scale() -> None:
    with pytest.raises(UsageError, match="at most 75"):
        scale_expression("rate(a[5m])", 100)


def test_a_scaled_rule_differs_in_its_windows_alone() -> None:
    shipped = (CONFIG / "prometheus" / "rules" / "latency.yml").read_text()
    before = yaml.safe_load(shipped)["groups"][0]["rules"][0]
    after = yaml.safe_load(scale_rules(shipped, 60))["groups"][0]["rules"][0]
    assert (before.pop("for"), after.pop("for")) == ("10m", "10s")
    assert after.pop("expr") == before.pop("expr").replace("[5m]", "[5s]")
    assert after == before


def test_a_scale_of_one_leaves_the_shipped_text() -> None:
    shipped = (CONFIG / "prometheus" / "rules" / "latency.yml").read_text()
    assert scale_rules(shipped, 1) == shipped
