"""monitor/alert-delivered: alerts come with their cause, reach their receivers, and go with it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import minio
import promql_parser
import pytest
from qdrant_client import QdrantClient

from fixtures.alert_causes import audit_report, lost_points
from fixtures.alert_lapses import unreadable_key_register, watched_bucket
from fixtures.alert_life import (
    Traffic,
    delivered,
    expect_delivered,
    expect_resolved,
    expect_silent,
    expect_waited,
    fires,
    members,
    notices,
    settle,
)
from fixtures.alerts import AlertWatch
from fixtures.faults import Inject
from fixtures.oncall import Start
from fixtures.registers import key_register
from fixtures.rules import Rules, rules_of
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.core.run import Run
from harness.drivers.base import Restart, Stack, Volume
from harness.drivers.embedded.rules import milliseconds, scale_rules

DAY_OLD = timedelta(hours=27)
CAUSES = {
    "RAG_Role_Down": "the reranker hangs",
    "RAG_WAL_Archive_Failing": "the archive command fails",
    "RAG_5xx_Ratio_High": "the gateway cannot reach the vector store, under load",
    "RAG_Backup_Verification_Failed": "a verification of each store failed",
    "RAG_Leakage_Found": "an audit found a leaked point",
    "RAG_Data_Lost": "a point was removed behind the gateway's back",
    "RAG_Backup_Too_Old": "the newest backup of the vector store is 27 hours old",
    "RAG_Backup_Bucket_Filling": "the backup bucket takes 80 % of its room",
    "RAG_Exporter_Blind": "the register of keys cannot be read",
}
CONTROL_S = 12.0
"""Longer than the longest of these alerts waits (10 minutes, at the default scale 10 s)."""

COMES_S = 60.0
GOES_S = 60.0
BEATS_S = 30.0
LATELY_S = 10.0


@conformance("monitor/alert-delivered", since="0.2")
@needs(
    *("read", "write", "fault", "restart"),
    roles=[
        *("edge", "rerank", "vectordb", "metadata", "objectstore", "exporter"),
        *("metrics", "alerts", "pager", "faultproxy"),
    ],
)
@pytest.mark.timeout(420)
def test_alerts_come_with_their_cause_and_go_with_it(
    stack: Stack,
    faults: Inject,
    watch_alert: Callable[..., AlertWatch],
    objectstore: minio.Minio,
    vectordb: QdrantClient,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    rules: Rules,
    run: Run,
    evidence: Evidence,
) -> None:
    """Each alert MUST go from inactive over pending and firing to delivered once its cause is
    there, once and grouped, also across a restart of Prometheus, and be resolved with it; without
    the cause it MUST stay silent."""
    if not isinstance(stack, Volume) or not isinstance(stack, Restart):
        raise NotAllowed("The target gives no way to restart Prometheus and to leave a report.")
    # Asked before anything is touched.
    key_register(stack)
    gateway = connect(new_tenant("watchful", ("work",)).token, timeout=10.0)
    gateway.put_document("work", "Something to ask for.", document_id="asked")
    traffic = Traffic(lambda: int(gateway.query("something", persona="work").status))
    with watched_bucket(stack, objectstore) as bucket:
        traffic.start()
        try:
            settle(stack, CAUSES)
            watches = {
                name: watch_alert(name, case=evidence.case, arm="treated") for name in CAUSES
            }
            expect_silent(evidence, watches, CONTROL_S)
            began = time.time()
            with contextlib.ExitStack() as causes:
                causes.enter_context(bucket.unrestorable())
                causes.enter_context(bucket.nothing_backed_up_since("vectordb", DAY_OLD))
                causes.enter_context(bucket.filled(0.8))
                causes.enter_context(unreadable_key_register(stack))
                causes.enter_context(audit_report(stack, 1))
                lost = causes.enter_context(lost_points(vectordb, gateway))["lost"]
                evidence.measure("points removed behind the gateway's back", lost, "points")
                causes.enter_context(faults("pause", role="rerank"))
                causes.enter_context(faults("failing-archive"))
                causes.enter_context(faults("down", link="gateway-vectordb"))
                expect_delivered(evidence, watches, CAUSES, began, COMES_S)
                expect_waited(stack, evidence, rules.waits(CAUSES, run.time_scale), began)
                _expect_told_once(stack, evidence, began)
                stack.restart("metrics")
                for name, watch in watches.items():
                    evidence.require(
                        f"{name} fires again after a restart of Prometheus",
                        fires(stack, name, 30.0),
                        expected="firing within 30 s",
                        actual=watch.state,
                    )
                _expect_told_once(stack, evidence, began)
                gone = time.time()
            expect_resolved(evidence, watches, gone, GOES_S)
        finally:
            traffic.stop()
    evidence.require(
        "there was load", sum(traffic.statuses.values()) > 100, actual=dict(traffic.statuses)
    )


def _expect_told_once(stack: Stack, evidence: Evidence, began: float) -> None:
    """Nobody is told the same twice, and what belongs together comes together."""
    told = notices(stack, began)
    for name in CAUSES:
        heard = told.get(name, [])
        # A notice that names more than the last one did is news; one that says the same is not.
        again = len(heard) - len(set(heard))
        ended = sum(notice.status == "resolved" for notice in heard)
        evidence.require(
            f"{name} is told to the chat once, whatever it concerns, and not called over",
            bool(heard) and not again and not ended,
            expected="each notice new, none resolved",
            actual=[(each.status, sorted(each.members)) for each in heard],
        )
    together = max(len(each.members) for each in told["RAG_Backup_Verification_Failed"])
    evidence.require(
        "what concerns two stores comes in one notice",
        together == 2,
        expected=2,
        actual=together,
    )
    for name, label, guilty in (
        ("RAG_Role_Down", "job", "rerank"),
        ("RAG_Backup_Too_Old", "store", "vectordb"),
        ("RAG_Exporter_Blind", "source", "keys"),
    ):
        named = members(stack, began, name, label)
        evidence.require(
            f"{name} names {guilty}, which has the cause",
            guilty in named,
            expected=guilty,
            actual=sorted(named),
        )
    evidence.require(
        "of two stores, the one whose backup is fresh is not named",
        "metadata" not in members(stack, began, "RAG_Backup_Too_Old", "store"),
    )


@conformance("monitor/alert-delivered", since="0.2")
@needs("read", roles=["metrics", "alerts", "pager"])
def test_the_dead_mans_switch_keeps_beating(stack: Stack, evidence: Evidence) -> None:
    """While all is well, the dead-man's switch MUST reach the watchdog again and again, and nobody
    else."""
    began = time.time()
    deadline = time.monotonic() + BEATS_S
    while True:
        ever, lately = (len(_beats(stack, at, "watchdog")) for at in (0.0, began - LATELY_S))
        if (ever > 1 and lately) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    evidence.require(
        "the watchdog hears of it again and again",
        ever > 1 and lately > 0,
        expected="more than one notice, the last of them lately (every 5 minutes, scaled)",
        actual=f"{ever} notices, {lately} since {LATELY_S:.0f} s before",
    )
    others = {
        receiver: len(found)
        for receiver in ("chat", "weekday-primary", "solo-ops", "datacentre")
        if (found := _beats(stack, 0.0, receiver))
    }
    evidence.require("nobody else is told", not others, expected="none", actual=others or "none")


def _beats(stack: Stack, since: float, receiver: str) -> list[Any]:
    return [
        payload
        for payload in delivered(stack, since, receiver)
        # Not everything that is posted to a receiver is a notice: reports are, too.
        if payload.get("status") == "firing"
        and any(a["labels"]["alertname"] == "RAG_Dead_Mans_Switch" for a in payload["alerts"])
    ]


@conformance("monitor/alert-delivered", since="0.2")
@needs("read", "write", "restart", roles=["alerts", "pager"])
def test_a_receiver_that_is_down_is_tried_again(
    stack: Stack, alertmanager: Start, evidence: Evidence
) -> None:
    """An alert whose receiver is down MUST be delivered once the receiver is back."""
    assert isinstance(stack, Restart)
    sender = alertmanager("retry", scale=60)
    stack.stop("pager")
    try:
        fired = sender.fire("Unheard", {"severity": "ticket"})
        time.sleep(2.0)
    finally:
        stack.start("pager")
    back = time.time()
    heard = sender.wait_for("Unheard", "chat", 20.0)
    evidence.require(
        "the alert arrives although its receiver was down when it fired",
        heard is not None,
        expected="delivered within 20 s of the receiver's return",
        actual="never" if heard is None else f"{heard.at - back:.1f} s after its return",
    )
    assert heard is not None
    evidence.measure("delay by a receiver that was down", heard.at - fired, "s")


@conformance("monitor/alert-delivered", since="0.2")
@needs("read", roles=["metrics"])
def test_prometheus_runs_the_shipped_rules(
    stack: Stack, rules: Rules, run: Run, evidence: Evidence
) -> None:
    """The rules that Prometheus has loaded MUST be the shipped ones: the same expressions, labels
    and texts, of which the windows alone may be shortened."""
    answer = httpx.get(
        f"{stack.endpoint('metrics').url}/api/v1/rules", timeout=10, trust_env=False
    ).json()
    loaded = {rule["name"]: rule for group in answer["data"]["groups"] for rule in group["rules"]}
    shipped = {
        name: rule
        for text in rules.texts.values()
        for rule in rules_of(scale_rules(text, run.time_scale))
        for name in [rule.get("alert") or rule["record"]]
    }
    evidence.require(
        "as many rules are loaded as are shipped, by the same names",
        loaded.keys() == shipped.keys(),
        expected=sorted(shipped),
        actual=sorted(loaded),
    )
    said = {name: _written(name, rule) for name, rule in loaded.items()}
    wrong = {
        name: {"loaded": said[name], "shipped": _plain(rule)}
        for name, rule in shipped.items()
        if not _same(said[name], _plain(rule))
    }
    evidence.require(
        "each is what was shipped, its windows divided by the time scale",
        not wrong,
        expected=f"{len(shipped)} rules as shipped, scale {run.time_scale:g}",
        actual=wrong or "all as shipped",
    )
    unhealthy = {
        name: rule.get("lastError")
        for name, rule in loaded.items()
        if rule["health"] not in ("ok", "unknown")
    }
    evidence.require("each can be evaluated", not unhealthy, expected="ok", actual=unhealthy)
    untouched = [
        name
        for text in rules.texts.values()
        for name, rule in _named(text)
        if _without_windows(rule["expr"]) != _without_windows(shipped[name]["expr"])
    ]
    evidence.require(
        "a shortened copy leaves everything but windows alone", not untouched, actual=untouched
    )


def _named(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(rule.get("alert") or rule["record"], rule) for rule in rules_of(text)]


def _without_windows(expression: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", expression)


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "expr": rule["expr"],
        "for": rule.get("for", "0s"),
        "labels": rule.get("labels", {}),
        "annotations": rule.get("annotations", {}),
    }


def _written(name: str, rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "expr": rule["query"],
        "for": f"{rule.get('duration', 0):g}s",
        "labels": rule.get("labels", {}),
        "annotations": rule.get("annotations", {}),
    }


def _same(loaded: dict[str, Any], shipped: dict[str, Any]) -> bool:
    """Prometheus prints expressions and durations in its own way: compare what they mean."""
    return (
        str(promql_parser.parse(loaded["expr"])) == str(promql_parser.parse(shipped["expr"]))
        and abs(float(loaded["for"][:-1]) * 1000 - milliseconds(shipped["for"])) < 1.5
        and loaded["labels"] == shipped["labels"]
        and loaded["annotations"] == shipped["annotations"]
    )
