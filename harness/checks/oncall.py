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
_INHERITED = ("receiver", "group_by", "group_wait", "group_interval", "repeat_interval")


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


def timings(
    config: Mapping[str, Any], labels: Mapping[str, str], name: str
) -> dict[str, list[str]]:
    """Return, by receiver, the durations ``group_wait``, ``group_interval`` or
    ``repeat_interval`` (``name``) of the routes by which an alert with these labels reaches it."""
    found: dict[str, list[str]] = {}
    for route in _leaves(config["route"], labels):
        found.setdefault(route["receiver"], []).append(str(route.get(name, "")))
    return found


def silenced(
    config: Mapping[str, Any], source: Mapping[str, str], target: Mapping[str, str]
) -> bool:
    """Whether some inhibition rule keeps ``target`` from being told while ``source`` fires.

    Raises:
        ValueError: an inhibition rule uses a field that is not understood here.
    """
    for rule in config.get("inhibit_rules") or []:
        unknown = rule.keys() - {"source_matchers", "target_matchers", "equal", "name"}
        if unknown:
            raise ValueError(f"inhibition by {', '.join(sorted(unknown))} is not understood")
        # Labels that only a running alert has (store, job) may agree: equal by itself saves nobody.
        known = [each for each in rule.get("equal") or [] if each in source or each in target]
        if (
            all(_matches(each, source) for each in rule.get("source_matchers") or [])
            and all(_matches(each, target) for each in rule.get("target_matchers") or [])
            and all(source.get(each) == target.get(each) for each in known)
        ):
            return True
    return False


def _leaves(route: Mapping[str, Any], labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for child in route.get("routes", []):
        if all(_matches(each, labels) for each in child.get("matchers", [])):
            kept = {name: route[name] for name in _INHERITED if name in route}
            inherited = {**kept, **child}
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
