"""Who is rung, and when: Alertmanager's routing tree and time intervals, read as it reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*)"?\s*')
_INTERVAL_FIELDS = {"weekdays", "times", "location"}


def receivers(
    config: Mapping[str, Any], labels: Mapping[str, str], at: datetime | None
) -> list[str]:
    """Return who gets an alert with these labels at the moment ``at`` (with its time zone), in the
    order of the tree. Without ``at``, who could get it at some time, as ``amtool`` tells.

    Raises:
        ValueError: the configuration uses a field of time intervals that is not understood here.
    """
    named = {each["name"]: each["time_intervals"] for each in config.get("time_intervals", [])}
    found: list[str] = []
    for route in _leaves(config["route"], labels):
        if at is None or _speaks(route, named, at):
            found.append(route["receiver"])
    return found


def _leaves(route: Mapping[str, Any], labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for child in route.get("routes", []):
        if all(_matches(each, labels) for each in child.get("matchers", [])):
            inherited = {"receiver": route["receiver"], **child}
            found += _leaves(inherited, labels)
            if not child.get("continue", False):
                break
    return found or [route]


def _matches(matcher: str, labels: Mapping[str, str]) -> bool:
    parsed = _MATCHER.fullmatch(matcher)
    if parsed is None:
        raise ValueError(f'{matcher!r} is no matcher such as severity="page"')
    name, operator, value = parsed.groups()
    held = labels.get(name, "")
    if operator in ("=", "!="):
        return (held == value) == (operator == "=")
    return (re.fullmatch(value, held) is not None) == (operator == "=~")


def _speaks(route: Mapping[str, Any], named: Mapping[str, Any], at: datetime) -> bool:
    def inside(names: list[str]) -> bool:
        return any(within(interval, at) for name in names for interval in named[name])

    if route.get("mute_time_intervals") and inside(route["mute_time_intervals"]):
        return False
    active = route.get("active_time_intervals")
    return not active or inside(active)


def within(interval: Mapping[str, Any], at: datetime) -> bool:
    """Whether a moment lies in one time interval: on its days, between its times, in its zone."""
    unknown = interval.keys() - _INTERVAL_FIELDS
    if unknown:
        raise ValueError(f"time intervals by {', '.join(sorted(unknown))} are not understood")
    local = at.astimezone(ZoneInfo(interval.get("location", "UTC")))
    days = interval.get("weekdays")
    if days and not any(_on(each, local.weekday()) for each in days):
        return False
    times = interval.get("times")
    minute = local.hour * 60 + local.minute
    return not times or any(
        _minutes(each["start_time"]) <= minute < _minutes(each["end_time"]) for each in times
    )


def _on(days: str, weekday: int) -> bool:
    first, _, last = days.lower().partition(":")
    return DAYS.index(first) <= weekday <= DAYS.index(last or first)


def _minutes(time: str) -> int:
    hours, _, minutes = time.partition(":")
    return int(hours) * 60 + int(minutes)
