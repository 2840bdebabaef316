"""oncall/: who is told, at which hour, and in which order."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from fixtures.oncall import Start
from fixtures.rules import Rules, program
from harness import conformance, needs
from harness.checks.oncall import receivers, silenced, timings
from harness.core.evidence import Evidence
from harness.drivers.embedded.metrics import alertmanager_config
from harness.drivers.embedded.rules import milliseconds

BERLIN = ZoneInfo("Europe/Berlin")
PAGE = {"severity": "page"}
PHONES = ("weekday-primary", "solo-ops")
# A Monday; the two weeks around each change of the clocks in 2026 (29 March, 25 October), and one
# quiet week in winter and in summer.
WEEKS = ("2026-01-12", "2026-03-23", "2026-03-30", "2026-07-13", "2026-10-19", "2026-10-26")


def on_call(at: datetime) -> str:
    """Who is on call by the guide (§2), weekends given to the night rota (see the errata)."""
    local = at.astimezone(BERLIN)
    return PHONES[0] if local.weekday() < 5 and 9 <= local.hour < 18 else PHONES[1]


def shipped() -> dict[str, Any]:
    """The routes as the driver renders them, with no wait shortened."""
    document: dict[str, Any] = yaml.safe_load(alertmanager_config("http://127.0.0.1:9", 1))
    return document


def amtool_routes(directory: Path, config: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """Who could get such an alert, by Alertmanager's own reading of the tree."""
    path = directory / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    binary = program("amtool")
    done = subprocess.run(
        [
            *(str(binary.path), "config", "routes", "test", f"--config.file={path}"),
            *(f"{name}={value}" for name, value in labels.items()),
        ],
        cwd=binary.cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"amtool: {done.stdout}{done.stderr}")
    return done.stdout.strip().split(",")


@conformance("oncall/route-by-hours", since="0.2")
def test_every_hour_has_one_owner(rules: Rules, evidence: Evidence) -> None:
    """At every hour of the week, in winter, in summer and when the clocks change, a page MUST ring
    the one who is on call by the guide and nobody else; what is no page MUST ring nobody."""
    config = shipped()
    for labels in (PAGE, {**PAGE, "impact": "data-loss"}, {"severity": "ticket"}):
        told = amtool_routes(rules.directory, config, labels)
        read = receivers(config, labels, None)
        evidence.require(
            f"amtool reads the tree as this check does for {labels}",
            told == read,
            expected=told,
            actual=read,
        )
    wrong, looked = [], 0
    for week in WEEKS:
        began = datetime.fromisoformat(week).replace(tzinfo=BERLIN).astimezone(UTC)
        for quarter in range(7 * 96):
            at = began + timedelta(minutes=15 * quarter)
            rung = [each for each in receivers(config, PAGE, at) if each in PHONES]
            looked += 1
            if rung != [on_call(at)]:
                local = at.astimezone(BERLIN).strftime("%a %Y-%m-%d %H:%M %Z")
                wrong.append(f"{local} rings {' and '.join(rung) or 'nobody'}, not {on_call(at)}")
    evidence.require(
        f"at each of {looked} quarters of an hour exactly the one on call is rung",
        not wrong,
        expected="weekday-primary 09:00-18:00 Monday to Friday in Berlin, else solo-ops",
        actual=wrong[:6] or "as the guide says",
    )
    for rule in (rule for rule in rules.all() if "alert" in rule):
        told = receivers(config, rule["labels"], None)
        severity = rule["labels"]["severity"]
        due = {"page": {"chat", *PHONES}, "ticket": {"chat"}, "none": {"watchdog"}}[severity]
        if rule["labels"].get("impact") == "data-loss":
            due = due | {"datacentre"}
        evidence.require(
            f"{rule['alert']} ({severity}) goes where its severity says",
            set(told) == due and len(told) == len(due),
            expected=sorted(due),
            actual=told,
        )


@conformance("oncall/escalation-order", since="0.2")
def test_nothing_makes_a_page_late_or_mute(rules: Rules, evidence: Evidence) -> None:
    """As shipped, with no wait shortened, a page MUST reach the chat and lost data the datacentre
    within half a minute and a phone after five, again while it lasts, be muted by no other alert,
    and every rung MUST lead to somebody else."""
    config = shipped()
    labels = {**PAGE, "impact": "data-loss"}
    waits = timings(config, labels, "group_wait")
    for receiver, (least, most) in {
        "chat": (0, 30),
        "datacentre": (0, 30),
        **dict.fromkeys(PHONES, (4 * 60, 6 * 60)),
    }.items():
        found = [milliseconds(each) / 1000 for each in waits.get(receiver, [])]
        evidence.require(
            f"{receiver} is told of a page after {least} to {most} s",
            bool(found) and all(least <= each <= most for each in found),
            expected=f"{least} to {most} s",
            actual=found or "never",
        )
    for name, most_minutes in (("group_interval", 5), ("repeat_interval", 240)):
        slow = {
            receiver: each
            for receiver, durations in timings(config, labels, name).items()
            for each in durations
            if milliseconds(each) > most_minutes * 60_000
        }
        evidence.require(
            f"news of a page, and the page itself, come again in time ({name})",
            not slow,
            expected=f"at most {most_minutes} minutes",
            actual=slow or "in time",
        )
    alerts = {
        rule["alert"]: {"alertname": rule["alert"], **rule["labels"]}
        for rule in rules.all()
        if "alert" in rule
    }
    muted = sorted(
        f"{target} while {source} fires"
        for source, other in alerts.items()
        for target, held in alerts.items()
        if source != target and held["severity"] != "ticket" and silenced(config, other, held)
    )
    evidence.require(
        "no other alert mutes a page", not muted, expected="none", actual=muted[:6] or "none"
    )
    places: dict[str, list[str]] = {}
    for each in config["receivers"]:
        ways = {kind: held for kind, held in each.items() if kind.endswith("_configs") and held}
        evidence.require(
            f"{each['name']} is told of the end too, and there is a way to it",
            bool(ways) and all(way.get("send_resolved") for held in ways.values() for way in held),
            expected="send_resolved: true",
            actual=each,
        )
        for held in ways.values():
            for way in held:
                places.setdefault(str(way.get("url", way)), []).append(each["name"])
    shared = {place: names for place, names in places.items() if len(names) > 1}
    evidence.require(
        "each rung of the ladder leads to somebody else",
        not shared,
        expected="no two receivers at one place",
        actual=shared or "each at its own",
    )


@conformance("oncall/route-by-hours", since="0.2")
@needs("write", roles=["alerts", "pager"])
def test_a_page_rings_whoever_is_on_call_at_that_hour(
    alertmanager: Start, evidence: Evidence
) -> None:
    """A page at 10:00 on a weekday MUST ring the weekday primary; one at 03:00, after 18:00 or on a
    Sunday MUST ring the night and weekend rota, and never both."""
    # Real Alertmanagers with the shipped routes, whose weekly intervals are turned so that the
    # chosen hour is now; the last one has them as they stand, and now is now.
    chosen = {
        "wednesday-10": datetime(2026, 1, 14, 10, tzinfo=BERLIN),
        "wednesday-03": datetime(2026, 1, 14, 3, tzinfo=BERLIN),
        "friday-18": datetime(2026, 7, 17, 18, tzinfo=BERLIN),
        "sunday-10": datetime(2026, 7, 19, 10, tzinfo=BERLIN),
    }
    _leave_the_hour()
    running = {name: alertmanager(name, scale=300, at=at) for name, at in chosen.items()}
    running["now"] = alertmanager("now", scale=300)
    expected = {name: on_call(at) for name, at in chosen.items()}
    expected["now"] = on_call(datetime.now(UTC))
    for each in running.values():
        each.fire("OnCallProbe", PAGE, {"summary": "A page to see who is rung"})
    for name, each in running.items():
        chat = each.wait_for("OnCallProbe", "chat", 8)
        phone = each.wait_for("OnCallProbe", expected[name], 8)
        evidence.require(
            f"{name}: the page reaches the chat and {expected[name]}",
            chat is not None and phone is not None,
            expected=["chat", expected[name]],
            actual=sorted({d.receiver for d in each.deliveries("OnCallProbe")}),
        )
    time.sleep(1.5)
    for name, each in running.items():
        rung = {d.receiver for d in each.deliveries("OnCallProbe")} & set(PHONES)
        evidence.require(
            f"{name}: nobody else is rung",
            rung == {expected[name]},
            expected=expected[name],
            actual=sorted(rung),
        )


def _leave_the_hour() -> None:
    """Wait the last seconds of an hour out: the turned intervals hold for this hour."""
    left = 3600 - time.time() % 3600
    if left < 20:
        time.sleep(left + 0.5)


@conformance("oncall/escalation-order", since="0.2")
@needs("write", roles=["alerts", "pager"])
def test_chat_then_phone_unless_acknowledged(
    alertmanager: Start, rules: Rules, evidence: Evidence
) -> None:
    """A page MUST reach the chat at once and a phone only when nobody acknowledged it in time; lost
    data MUST reach the datacentre at once and name the recovery runbook; a ticket rings nobody."""
    scale = 120.0
    patience = 300 / scale
    lost = rules.alert("RAG_Data_Lost")
    running = alertmanager("order", scale=scale)
    fired = running.fire("Unattended", PAGE)
    running.fire("Attended", PAGE)
    running.fire("JustATicket", {"severity": "ticket"})
    running.fire("RAG_Data_Lost", lost["labels"], lost["annotations"])
    attended = running.wait_for("Attended", "chat", patience - 0.5)
    evidence.require(
        "the chat is told before anybody has to act",
        attended is not None,
        expected=f"a message within {patience - 0.5:.1f} s, which stand for 4 minutes",
        actual="none" if attended is None else f"{attended.at - fired:.2f} s",
    )
    running.acknowledge("Attended", "primary")
    phone = next(
        (d for name in PHONES if (d := running.wait_for("Unattended", name, patience + 5))), None
    )
    chat = running.wait_for("Unattended", "chat", 0)
    assert chat is not None
    evidence.require(
        "unacknowledged, it goes to the chat and then to a phone, five minutes later",
        phone is not None and phone.at - chat.at > 0.6 * patience,
        expected=f"a phone about {patience:.1f} s after the chat",
        actual="no phone" if phone is None else f"{phone.at - chat.at:.2f} s after the chat",
    )
    datacentre = running.wait_for("RAG_Data_Lost", "datacentre", 5)
    evidence.require(
        "lost data reaches the datacentre at once",
        datacentre is not None and datacentre.at - fired < 0.6 * patience,
        expected="long before a phone would ring",
        actual="never" if datacentre is None else f"after {datacentre.at - fired:.2f} s",
    )
    assert datacentre is not None
    words = " ".join(datacentre.annotations.values())
    evidence.require(
        "and what it is told names the recovery runbook",
        "#failed-restore" in words and "recovery runbook" in words.lower(),
        expected="docs/runbook.md#failed-restore",
        actual=dict(datacentre.annotations),
    )
    time.sleep(1.5)
    for alert, allowed in (("Attended", {"chat"}), ("JustATicket", {"chat"})):
        told = {d.receiver for d in running.deliveries(alert)}
        evidence.require(
            f"{alert} rings no phone",
            told == allowed,
            expected=sorted(allowed),
            actual=sorted(told),
        )
    evidence.require(
        "no page but lost data reaches the datacentre",
        not [d for d in running.deliveries("Unattended") if d.receiver == "datacentre"],
        expected="none",
        actual=sorted({d.receiver for d in running.deliveries("Unattended")}),
    )
