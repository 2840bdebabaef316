"""The routing tree and its hours are read as Alertmanager reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from fixtures.oncall import as_if
from harness.checks.oncall import receivers, within
from harness.drivers.embedded.metrics import alertmanager_config

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = {
    "weekdays": ["monday:friday"],
    "times": [{"start_time": "09:00", "end_time": "18:00"}],
    "location": "Europe/Berlin",
}


@pytest.mark.parametrize(
    ("utc", "inside"),
    [
        ("2026-01-14T08:00", True),
        ("2026-01-14T07:59", False),
        ("2026-01-14T16:59", True),
        ("2026-01-14T17:00", False),
        ("2026-07-15T07:00", True),
        ("2026-07-15T06:59", False),
        ("2026-07-15T16:00", False),
        ("2026-03-27T08:00", True),
        ("2026-03-30T07:00", True),
        ("2026-07-18T10:00", False),
        ("2026-07-19T10:00", False),
    ],
)
def test_office_hours_follow_the_clocks_in_berlin(utc: str, inside: bool) -> None:
    assert within(OFFICE, datetime.fromisoformat(utc).replace(tzinfo=UTC)) is inside


def test_a_field_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="months"):
        within({"months": ["may"]}, datetime.now(UTC))


def tree(*routes: dict[str, Any]) -> dict[str, Any]:
    return {"route": {"receiver": "root", "routes": list(routes)}}


def test_the_first_route_that_does_not_continue_is_the_last() -> None:
    config = tree(
        {"matchers": ['a="1"'], "receiver": "one", "continue": True},
        {"matchers": ['a=~"1|2"'], "receiver": "two"},
        {"matchers": [], "receiver": "three"},
    )
    assert receivers(config, {"a": "1"}, None) == ["one", "two"]
    assert receivers(config, {"a": "2"}, None) == ["two"]
    assert receivers(config, {"a": "3"}, None) == ["three"]


def test_what_matches_nothing_stays_at_the_root() -> None:
    assert receivers(tree({"matchers": ['a!=""'], "receiver": "one"}), {}, None) == ["root"]


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 1, 14, 10, tzinfo=BERLIN),
        datetime(2026, 1, 14, 3, tzinfo=BERLIN),
        datetime(2026, 7, 17, 17, tzinfo=BERLIN),
        datetime(2026, 7, 17, 18, tzinfo=BERLIN),
        datetime(2026, 7, 19, 10, tzinfo=BERLIN),
        datetime(2026, 7, 20, 0, tzinfo=BERLIN),
    ],
)
def test_turned_hours_are_to_now_what_the_shipped_ones_are_to_then(at: datetime) -> None:
    shipped = alertmanager_config("http://127.0.0.1:9", 1)
    page = {"severity": "page"}
    then = receivers(yaml.safe_load(shipped), page, at)
    # Turned once at a fixed hour, so that the test cannot fall between two hours.
    assert receivers(yaml.safe_load(as_if(shipped, at)), page, datetime.now(UTC)) == then
