"""What fired since yesterday 18:00, for how long, and what it led to: the daily look at 08:00.

Asks Prometheus which alerts fired, and Alertmanager who was told and who took them on (a silence is
an acknowledgement; its comment says what was done). Changes nothing.

exit codes: 0 told, also when nothing fired; 2 Prometheus or Alertmanager does not answer; 4 bad
arguments or settings
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.core.errors import HarnessError, UsageError
from scripts.dayops.alert_history import (
    Acknowledgement,
    Firing,
    acknowledgements,
    fired_between,
    runbooks,
    since_yesterday_evening,
    told,
    unwatched,
)
from scripts.dayops.environment import Environment, table

ALWAYS = "none"
"""The severity of the dead-man's switch: that it fires is no news, that it does not is."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="alert_summary.py",
        description=__doc__,
        epilog="environment:\n" + table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--since",
        metavar="TIME",
        help="ISO 8601, UTC unless it says otherwise (default: yesterday 18:00 in Berlin)",
    )
    made.add_argument("--json", action="store_true", help="one JSON object instead of a text")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Ask and tell; returns the exit code."""
    arguments = parser().parse_args(argv)
    began = time.monotonic()
    try:
        environment = Environment.with_all("PROMETHEUS_URL", "ALERTMANAGER_URL")
        now = datetime.now(UTC)
        since = moment(arguments.since) if arguments.since else since_yesterday_evening(now)
        if since >= now:
            raise UsageError(
                "--since lies in the future.", expected="a moment that has passed", actual=since
            )
        summary = summarise(environment, since, now)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 4
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    summary["seconds"] = round(time.monotonic() - began, 2)
    print(json.dumps(summary) if arguments.json else in_words(summary))
    return 0


def moment(text: str) -> datetime:
    """Read a moment.

    Raises:
        UsageError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "--since is no moment.", expected="such as 2026-05-09T18:00", actual=repr(text)
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def summarise(environment: Environment, since: datetime, now: datetime) -> dict[str, Any]:
    """Return what fired, one entry a stretch, whether the dead-man's switch is alive, and of which
    times nothing is known.

    Raises:
        TargetError: Prometheus or Alertmanager does not answer.
    """
    prometheus, alertmanager = environment["PROMETHEUS_URL"], environment["ALERTMANAGER_URL"]
    stretches = fired_between(prometheus, since, now)
    silences, receivers = acknowledgements(alertmanager), told(alertmanager)
    links = runbooks(prometheus)
    beats = [each for each in stretches if each.labels.get("severity") == ALWAYS]
    entries = []
    for each in (each for each in stretches if each not in beats):
        key = each.alert, frozenset(each.labels.items())
        covering = [silence for silence in silences if silence.covers(each)]
        entries.append(
            {
                "alert": each.alert,
                "severity": each.labels.get("severity", "?"),
                "labels": {k: v for k, v in each.labels.items() if k != "severity"},
                "began": stamp(each.began),
                "seconds": round(each.seconds),
                "ongoing": each.ongoing,
                "receivers": receivers.get(key, []) if each.ongoing else [],
                "led_to": outcome(each, covering),
                "runbook": links.get(each.alert, ""),
            }
        )
    return {
        "since": since.astimezone(UTC).isoformat(timespec="seconds"),
        "until": now.isoformat(timespec="seconds"),
        "fired": entries,
        "alive": any(each.ongoing for each in beats),
        "unknown": [
            {"from": stamp(began), "to": stamp(ended)}
            for began, ended in unwatched(beats, since.timestamp(), now.timestamp())
        ],
    }


def outcome(firing: Firing, silences: list[Acknowledgement]) -> str:
    """Say what became of it: still on or over, and who took it on with which words."""
    state = "still firing" if firing.ongoing else "resolved"
    if not silences:
        return f"{state}; nobody acknowledged it"
    return state + "".join(
        f"; {each.author} acknowledged it after {max(0, round(each.began - firing.began))} s"
        f" ({each.comment})"
        for each in silences
    )


def stamp(at: float) -> str:
    """Return UTC seconds as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def in_words(summary: dict[str, Any]) -> str:
    """Return the summary as a person reads it."""
    entries = summary["fired"]
    pages = sum(each["severity"] == "page" for each in entries)
    lines = [f"Alerts from {summary['since']} to {summary['until']}"]
    if entries:
        lines[0] += f": {len(entries)}, of them {pages} that page"
    else:
        lines.append("Nothing fired" + (" that is known of." if summary["unknown"] else "."))
    for each in entries:
        labels = " ".join(f"{name}={value}" for name, value in sorted(each["labels"].items()))
        lines += [
            "",
            f"{each['began']}  {each['alert']}  ({each['severity']}, {each['seconds']} s)",
            f"    {each['led_to']}",
        ]
        lines += [f"    {labels}"] if labels else []
        lines += [f"    told: {', '.join(each['receivers'])}"] if each["receivers"] else []
        lines += [f"    {each['runbook']}"] if each["runbook"] else []
    for each in summary["unknown"]:
        gap = f"Not known: what fired from {each['from']} to {each['to']}"
        lines += ["", f"{gap}. No rule was evaluated, or Prometheus has not kept it."]
    if not summary["alive"]:
        lines += ["", "The dead-man's switch does not fire: alerts may not reach anybody."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
