"""monitor/alert-delivered: alerts that wait for hours and days, driven live within a minute."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping

import minio
import promql_parser
import pytest

from fixtures.alert_lapses import watched_bucket
from fixtures.alert_life import Traffic
from fixtures.faults import Inject
from fixtures.oncall import Alertmanager, Start
from fixtures.own_prometheus import OwnPrometheus, StartPrometheus, only
from fixtures.rules import Rules
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.events import AlertSeen
from harness.core.evidence import Evidence, Inconclusive
from harness.core.history import History
from harness.drivers.base import Stack

MISSING, SLOW = "RAG_Backup_Missing", "RAG_Error_Budget_Burn_Slow"
CAUSES = {
    MISSING: "no object of a backup of the vector store is left in the bucket",
    SLOW: "every query fails for a while, under load",
}
RATIOS = tuple(f"rag:request_errors:ratio_rate{window}" for window in ("2h", "6h", "1d", "3d"))
SCALES = {MISSING: 7200.0, SLOW: 1800.0}
"""26 hours become 13 s, and 2 hours, 6 hours and a day become 4, 12 and 48 s."""

ROUTES_SCALE = 300.0
CONTROL_S = 16.0
"""Longer than either waits."""

COMES_S = 90.0
GOES_S = 90.0
CALM_S = 60.0


@conformance("monitor/alert-delivered", since="0.2", profiles=("full",))
@needs(
    *("read", "write", "fault", "restart"),
    roles=["edge", "vectordb", "objectstore", "exporter", "metrics", "pager", "faultproxy"],
)
@pytest.mark.timeout(600)
def test_alerts_that_wait_for_hours_come_and_go_too(
    stack: Stack,
    faults: Inject,
    own_prometheus: StartPrometheus,
    alertmanager: Start,
    objectstore: minio.Minio,
    rules: Rules,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    history: History,
    evidence: Evidence,
) -> None:
    """A store that lost every backup, and a slow burn of the error budget, MUST be delivered once
    their cause is there, by expressions of which the windows alone are shortened, and be resolved
    with it; without the cause they MUST be silent."""
    gateway = connect(new_tenant("hours", ("work",)).token, timeout=10.0)
    gateway.put_document("work", "Something to ask for.", document_id="asked")
    traffic = Traffic(lambda: int(gateway.query("something", persona="work").status))
    with watched_bucket(stack, objectstore) as bucket:
        traffic.start()
        try:
            receivers = alertmanager("hours", scale=ROUTES_SCALE)
            prometheus = own_prometheus(
                "hours",
                rules={
                    only(rules.texts["backup.yml"], {MISSING}): SCALES[MISSING],
                    only(rules.texts["availability.yml"], {*RATIOS, SLOW}): SCALES[SLOW],
                },
                jobs=("gateway", "exporter"),
                alertmanager=receivers.url,
            )
            _expect_untouched(prometheus, rules, evidence)
            _expect_silent(prometheus, receivers, evidence)
            began = time.time()
            with contextlib.ExitStack() as causes:
                causes.enter_context(bucket.without_backups("vectordb"))
                with faults("down", link="gateway-vectordb"):
                    _expect_delivered(SLOW, prometheus, receivers, began, evidence, history)
                errors_gone = time.time()
                _expect_delivered(MISSING, prometheus, receivers, began, evidence, history)
                named = {s["metric"]["store"] for s in prometheus.ask(_firing(MISSING))}
                evidence.require(
                    "the store whose backups are gone is named, and not the other",
                    named == {"vectordb"},
                    expected="vectordb",
                    actual=sorted(named),
                )
            gone = {SLOW: errors_gone, MISSING: time.time()}
            _expect_resolved(prometheus, receivers, gone, evidence, history)
        finally:
            traffic.stop()
    evidence.require(
        "there was load", sum(traffic.statuses.values()) > 100, actual=dict(traffic.statuses)
    )


def _firing(alert: str) -> str:
    return f'ALERTS{{alertname="{alert}", alertstate="firing"}}'


def _expect_untouched(prometheus: OwnPrometheus, rules: Rules, evidence: Evidence) -> None:
    def plain(expression: str) -> str:
        return re.sub(r"\[[^\]]*\]", "[1m]", expression)

    shipped = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules.all()}
    loaded = prometheus.loaded()
    changed = {
        name: loaded.get(name)
        for name in (*RATIOS, *CAUSES)
        if str(promql_parser.parse(plain(loaded.get(name, "0"))))
        != str(promql_parser.parse(plain(shipped[name])))
    }
    evidence.require(
        "the shortened copies are the shipped expressions but for their windows",
        not changed,
        expected="the shipped ones",
        actual=changed or "the shipped ones",
    )


def _expect_silent(prometheus: OwnPrometheus, receivers: Alertmanager, evidence: Evidence) -> None:
    deadline = time.monotonic() + CALM_S
    while any(prometheus.state(name) != "inactive" for name in CAUSES):
        if time.monotonic() > deadline:
            raise Inconclusive("Not silent before any cause.")
        time.sleep(0.5)
    began = time.time()
    time.sleep(CONTROL_S)
    for name in CAUSES:
        fired = [at for at in prometheus.states(name).get("firing", []) if at >= began]
        told = [each for each in receivers.deliveries(name) if each.at >= began]
        evidence.require(
            f"{name} is silent without its cause, for longer than it waits",
            not fired and not told,
            expected="not firing, nothing delivered",
            actual={"firing": len(fired), "delivered": len(told)},
        )


def _expect_delivered(
    alert: str,
    prometheus: OwnPrometheus,
    receivers: Alertmanager,
    began: float,
    evidence: Evidence,
    history: History,
) -> None:
    deadline = began + COMES_S
    while not (told := _told(receivers, alert, "firing", began)) and time.time() < deadline:
        time.sleep(0.2)
    states = prometheus.states(alert)
    evidence.require(
        f"{alert} is delivered: {CAUSES[alert]}",
        bool(told),
        expected=f"at its receiver within {COMES_S:.0f} s",
        actual=f"{prometheus.state(alert)} in Prometheus, seen {sorted(states)}",
    )
    # A record of before the cause is none of it.
    first = {
        state: min(at for at in times if at >= began - 1)
        for state, times in states.items()
        if max(times) >= began - 1
    }
    evidence.require(
        f"{alert} was pending before it fired, and fired before it was delivered",
        first.get("pending", told[0]) < first.get("firing", 0.0) <= told[0],
        expected="pending, firing, delivered",
        actual={**first, "delivered": told[0]},
    )
    for state, at in (*first.items(), ("delivered", told[0])):
        history.write(AlertSeen(alert=alert, state=state, at=at, case=evidence.case, arm="treated"))
    evidence.measure(f"time to detect, {alert}", told[0] - began, "s")


def _expect_resolved(
    prometheus: OwnPrometheus,
    receivers: Alertmanager,
    gone: Mapping[str, float],
    evidence: Evidence,
    history: History,
) -> None:
    for alert, since in gone.items():
        deadline = time.time() + GOES_S
        while not (ended := _told(receivers, alert, "resolved", since)) and time.time() < deadline:
            time.sleep(0.2)
        evidence.require(
            f"{alert} is resolved at its receiver once its cause is gone",
            bool(ended) and prometheus.state(alert) == "inactive",
            expected=f"silent, and a resolved notice, within {GOES_S:.0f} s",
            actual=f"{prometheus.state(alert)} in Prometheus, {len(ended)} resolved notices",
        )
        history.write(
            AlertSeen(alert=alert, state="resolved", at=ended[0], case=evidence.case, arm="treated")
        )
        evidence.measure(f"time to resolve, {alert}", ended[0] - since, "s")


def _told(receivers: Alertmanager, alert: str, status: str, since: float) -> list[float]:
    """When the chat was told that the alert fires, or that it is over, since a moment."""
    return [
        each.at
        for each in receivers.deliveries(alert)
        if each.receiver == "chat" and each.status == status and each.at >= since
    ]
