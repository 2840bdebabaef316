"""maintain/alert-summary: what the daily look at the night's alerts is told."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from fixtures.alert_causes import audit_report
from fixtures.alerts import AlertWatch
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.core.errors import NotAllowed, TargetError
from harness.core.evidence import Evidence, Inconclusive
from harness.drivers.base import Stack, Volume
from harness.drivers.reference import ReferenceStack

ALERT = "RAG_Leakage_Found"
LIMIT_S = 5.0
WORDS = "purged, and the review is written"
FIRES_S = 10.0
"""How long the alert is held firing."""
GIVE_OR_TAKE_S = 4.0
"""An evaluation and a scrape at either end; far less than FIRES_S, so that no time at all, or a
time in other units, is told from the right one."""


@contextlib.contextmanager
def acknowledged(stack: Stack, alert: str) -> Iterator[None]:
    """Silence the alert as whoever is on call would; the silence ends with the block.

    Raises:
        TargetError: Alertmanager does not take it.
    """
    url, now = stack.endpoint("alerts").url, datetime.now(UTC)
    body = {
        "matchers": [{"name": "alertname", "value": alert, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "weekday-primary",
        "comment": WORDS,
    }
    with httpx.Client(timeout=5, trust_env=False) as client:
        answer = client.post(f"{url}/api/v2/silences", json=body)
        if answer.status_code != 200:
            raise TargetError("The silence was refused.", actual=answer.text[:300])
        try:
            yield
        finally:
            client.delete(f"{url}/api/v2/silence/{answer.json()['silenceID']}")


@conformance("maintain/alert-summary", since="0.2")
@needs("read", "write", roles=["metrics", "alerts", "exporter"])
def test_lists_what_fired_and_what_it_led_to(
    stack: Stack,
    run_script: RunScript,
    watch_alert: Callable[..., AlertWatch],
    evidence: Evidence,
) -> None:
    """The daily alert summary MUST list what fired, for how long and what it led to, also once it
    is over, nothing that did not fire, and take less than 5 seconds."""
    if not isinstance(stack, Volume):
        raise NotAllowed("The target gives no way to leave an audit's report for the exporter.")

    def summary(since: float) -> dict[str, Any]:
        moment = datetime.fromtimestamp(since, UTC).isoformat()
        ran = run_script("alert_summary.py", "--json", "--since", moment)
        evidence.require(
            "the summary can be made", ran.exit_code == 0, expected="exit code 0", actual=ran.told
        )
        found: dict[str, Any] = json.loads(ran.stdout)
        evidence.measure("time of the alert summary", found["seconds"], "s", limit=LIMIT_S)
        evidence.require(
            "the summary took less than 5 seconds",
            found["seconds"] < LIMIT_S,
            expected=f"under {LIMIT_S:g} s",
            actual=f"{found['seconds']} s",
        )
        return found

    watch = watch_alert(ALERT, case=evidence.case)
    if watch.wait_for("inactive", 30.0) is None:
        raise Inconclusive(f"{ALERT} was not silent before its cause: {watch.state}")
    began = time.time()
    with contextlib.ExitStack() as cause:
        cause.enter_context(audit_report(stack, 3))
        fired = watch.wait_for("firing", 30.0)
        if fired is None:
            raise Inconclusive(f"{ALERT} did not fire: {watch.state} {watch.problem}")
        cause.enter_context(acknowledged(stack, ALERT))
        time.sleep(max(0.0, fired + FIRES_S - time.time()))
        during = [each for each in summary(began - 1)["fired"] if each["alert"] == ALERT]
        evidence.require(
            "while it fires, the summary names the alert, its severity and its runbook",
            len(during) == 1
            and during[0]["ongoing"]
            and during[0]["severity"] == "page"
            and during[0]["runbook"].endswith("#leakage"),
            expected=f"one entry of {ALERT}, ongoing",
            actual=during,
        )
        cause.close()
    ended = time.time()
    deadline = time.monotonic() + 30.0
    while watch.state != "inactive" and time.monotonic() < deadline:
        time.sleep(0.2)
    # A stretch counts as over once it has been silent for two steps of the query.
    while True:
        after = summary(began - 1)
        entries = [each for each in after["fired"] if each["alert"] == ALERT]
        if not any(each["ongoing"] for each in entries) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    over = time.time()
    evidence.require(
        "once it is over, the summary names the alert still",
        len(entries) == 1 and not entries[0]["ongoing"],
        expected=f"one entry of {ALERT}, over",
        actual=entries,
    )
    lasted = ended - fired
    evidence.require(
        "and for how long it fired",
        lasted >= FIRES_S and abs(entries[0]["seconds"] - lasted) <= GIVE_OR_TAKE_S,
        expected=f"{lasted:.0f} s (at least {FIRES_S:g}), give or take {GIVE_OR_TAKE_S:g}",
        actual=f"{entries[0]['seconds']} s",
    )
    led_to = entries[0]["led_to"]
    evidence.require(
        "and what it led to: who took it on, and with which words",
        "weekday-primary" in led_to and WORDS in led_to and "resolved" in led_to,
        expected=f"resolved; weekday-primary acknowledged it ... ({WORDS})",
        actual=led_to,
    )
    named = {each["alert"] for each in after["fired"]}
    evidence.require(
        "it lists nothing that did not fire, and not that alerts can fire at all",
        not named & {"RAG_Key_Too_Old", "RAG_Points_Above_15M", "RAG_Dead_Mans_Switch"},
        expected="none of the alerts without a cause",
        actual=sorted(named),
    )
    evidence.require(
        "it says that alerts reach their receivers",
        after["alive"] is True,
        expected="the dead-man's switch fires",
        actual=after["alive"],
    )
    if isinstance(stack, ReferenceStack):
        # It was booted by this run, minutes ago: of the day before nothing can be known.
        day_before = time.time() - 86_400
        unknown = summary(day_before)["unknown"]
        evidence.require(
            "what it can't know is not told as a quiet time",
            bool(unknown)
            and abs(datetime.fromisoformat(unknown[0]["from"]).timestamp() - day_before) <= 2,
            expected="not known from the first moment on",
            actual=unknown,
        )
    later = [each for each in summary(over)["fired"] if each["alert"] == ALERT]
    evidence.require(
        "what was over before the time it covers is not in it",
        not later,
        expected="nothing",
        actual=later,
    )


@conformance("maintain/alert-summary", since="0.2")
@needs("read", roles=["metrics"])
def test_says_when_it_could_not_ask(
    stack: Stack, run_script: RunScript, evidence: Evidence
) -> None:
    """A summary that could not ask MUST say so and MUST NOT look like a quiet night."""
    ran = run_script("alert_summary.py", env={"ALERTMANAGER_URL": "http://127.0.0.1:9"})
    evidence.require(
        "it ends with 2, names who does not answer, and prints no summary",
        ran.exit_code == 2 and "does not answer" in ran.stderr and not ran.stdout.strip(),
        expected="exit code 2",
        actual=f"{ran.told}; stdout: {ran.stdout[:200]}",
    )
    ran = run_script("alert_summary.py", "--since", "yesterday")
    evidence.require(
        "a moment that is none is refused",
        ran.exit_code == 4 and "such as" in ran.stderr,
        expected="exit code 4",
        actual=ran.told,
    )
