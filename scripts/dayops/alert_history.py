"""Reads off Prometheus and Alertmanager what fired, for how long, and what was done about it."""

from __future__ import annotations

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from harness.core.errors import TargetError

TIMEOUT_S = 4.0
MOST_POINTS = 10_000
"""Prometheus answers a range query with at most 11,000 points a series."""

LEAST_STEP_S = 1.0
UNWATCHED_S = 60.0
"""A shorter lack of the dead-man's switch is a restart, or a step of the query."""
_OWN_LABELS = frozenset({"__name__", "alertname", "alertstate"})


@dataclass(frozen=True)
class Firing:
    """One stretch in which one alert (its name and labels) fired. Times are UTC seconds."""

    alert: str
    labels: Mapping[str, str]
    began: float
    ended: float
    ongoing: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Acknowledgement:
    """A silence: who took the alert on, when (UTC seconds), and with which words."""

    author: str
    comment: str
    began: float
    ended: float
    matchers: tuple[tuple[str, str, bool, bool], ...]

    def covers(self, firing: Firing) -> bool:
        """Whether it was in force at a moment of the firing, for an alert of these labels."""
        if self.began > firing.ended or self.ended < firing.began:
            return False
        held = {"alertname": firing.alert, **firing.labels}
        return all(_matches(matcher, held) for matcher in self.matchers)


def _matches(matcher: tuple[str, str, bool, bool], held: Mapping[str, str]) -> bool:
    name, value, is_regex, is_equal = matcher
    found = held.get(name, "")
    same = re.fullmatch(value, found) is not None if is_regex else found == value
    return same == is_equal


def since_yesterday_evening(now: datetime, zone: str = "Europe/Berlin") -> datetime:
    """Return yesterday 18:00 of the zone, when the weekday primary went home (guide, section 2)."""
    local = now.astimezone(ZoneInfo(zone))
    yesterday = (local - timedelta(days=1)).date()
    return datetime(yesterday.year, yesterday.month, yesterday.day, 18, tzinfo=ZoneInfo(zone))


def fired_between(prometheus: str, since: datetime, until: datetime) -> list[Firing]:
    """Return every stretch of firing that touches the time from ``since`` to ``until``.

    Raises:
        TargetError: Prometheus does not answer as one.
    """
    length = (until - since).total_seconds()
    step = max(LEAST_STEP_S, math.ceil(length / MOST_POINTS))
    query = {
        "query": 'ALERTS{alertstate="firing"}',
        "start": f"{since.timestamp():.3f}",
        "end": f"{until.timestamp():.3f}",
        "step": f"{step:g}",
    }
    answer = ask(prometheus, "/api/v1/query_range", query)
    try:
        series = answer["data"]["result"]
        points = [(each["metric"], [float(at) for at, _ in each["values"]]) for each in series]
    except (KeyError, TypeError, ValueError) as error:
        raise TargetError(
            "Prometheus gave no series.", expected="a matrix of ALERTS", actual=str(answer)[:200]
        ) from error
    return fired(points, step, until.timestamp())


def fired(
    points: Iterable[tuple[Mapping[str, str], list[float]]], step: float, until: float
) -> list[Firing]:
    """Join the moments at which alerts fired to stretches, oldest first.

    A gap of more than two steps ends one. ``ongoing`` is one that still fired two steps before the
    end.
    """
    found = []
    for metric, moments in points:
        labels = {name: value for name, value in metric.items() if name not in _OWN_LABELS}
        stretch: list[float] = []
        for at in [*moments, math.inf]:
            if stretch and at - stretch[-1] > 2 * step:
                ongoing = until - stretch[-1] <= 2 * step
                found.append(
                    Firing(metric.get("alertname", "?"), labels, stretch[0], stretch[-1], ongoing)
                )
                stretch = []
            stretch.append(at)
    return sorted(found, key=lambda each: (each.began, each.alert))


def unwatched(beats: Iterable[Firing], since: float, until: float) -> list[tuple[float, float]]:
    """Return from when to when (UTC seconds) nothing is known, for the dead-man's switch, which
    fires whenever rules are evaluated, did not."""
    found, known = [], since
    for each in sorted(beats, key=lambda each: each.began):
        if each.began - known >= UNWATCHED_S:
            found.append((known, each.began))
        known = max(known, until if each.ongoing else each.ended)
    if until - known >= UNWATCHED_S:
        found.append((known, until))
    return found


def acknowledgements(alertmanager: str) -> list[Acknowledgement]:
    """Return every silence that Alertmanager knows, also those that are over.

    Raises:
        TargetError: Alertmanager does not answer as one.
    """
    answer = ask(alertmanager, "/api/v2/silences", {})
    try:
        return [
            Acknowledgement(
                each["createdBy"],
                each["comment"],
                _moment(each["startsAt"]),
                _moment(each["endsAt"]),
                tuple(
                    (m["name"], m["value"], m["isRegex"], m.get("isEqual", True))
                    for m in each["matchers"]
                ),
            )
            for each in answer
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise TargetError(
            "Alertmanager gave no list of silences.", actual=str(answer)[:200]
        ) from error


def told(alertmanager: str) -> dict[tuple[str, frozenset[tuple[str, str]]], list[str]]:
    """Return the receivers of each alert that Alertmanager holds now, by name and labels."""
    found = {}
    for each in ask(alertmanager, "/api/v2/alerts", {"active": "true", "silenced": "true"}):
        labels = dict(each["labels"])
        name = labels.pop("alertname", "?")
        found[name, frozenset(labels.items())] = [r["name"] for r in each["receivers"]]
    return found


def runbooks(prometheus: str) -> dict[str, str]:
    """Return the runbook link of each loaded alert rule by the alert's name."""
    answer = ask(prometheus, "/api/v1/rules", {"type": "alert"})
    return {
        rule["name"]: rule.get("annotations", {}).get("runbook", "")
        for group in answer["data"]["groups"]
        for rule in group["rules"]
    }


def ask(base: str, path: str, query: Mapping[str, str]) -> Any:
    """Return the JSON that the server answers.

    Raises:
        TargetError: it does not answer, or not with JSON.
    """
    url = f"{base}{path}"
    full = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    # The day-two scripts talk to addresses of the operator's own; no proxy stands between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(full, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        actual = f"{error.code}: {error.read(300).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        actual = str(error)
    raise TargetError(
        f"{url} does not answer.",
        expected="a JSON answer within 4 s",
        actual=actual,
        next_step="check PROMETHEUS_URL and ALERTMANAGER_URL; is the server up?",
    )


def _moment(text: str) -> float:
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
