"""monitor/alert-delivered: alerts come with their cause, reach their receivers, and go with it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import minio
import promql_parser
import pytest
from qdrant_client import QdrantClient

from fixtures.alert_causes import audit_report, failed_verifications, lost_points
from fixtures.alerts import AlertWatch
from fixtures.faults import Inject
from fixtures.oncall import Start
from fixtures.rules import Rules, rules_of
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence, Inconclusive
from harness.core.run import Run
from harness.drivers.base import Restart, Stack, Volume
from harness.drivers.embedded.rules import milliseconds, scale_rules

CAUSES = {
    "RAG_Role_Down": "the reranker hangs",
    "RAG_WAL_Archive_Failing": "the archive command fails",
    "RAG_5xx_Ratio_High": "the gateway cannot reach the vector store, under load",
    "RAG_Backup_Verification_Failed": "a verification of each store failed",
    "RAG_Leakage_Found": "an audit found a leaked point",
    "RAG_Data_Lost": "a point was removed behind the gateway's back",
}
CONTROL_S = 7.0
"""Longer than the longest of these alerts waits (5 minutes, at the default scale 5 s)."""

QUIET_S = 6.0
"""Longer than a group of alerts waits before it tells of a change (5 minutes, scaled)."""

SETTLE_S = 60.0
COMES_S = 40.0
GOES_S = 40.0


class Traffic(threading.Thread):
    """Asks and asks, so that shares of errors mean something; outcomes by status."""

    def __init__(self, ask: Callable[[], int]) -> None:
        super().__init__(daemon=True, name="traffic")
        self._ask, self._over = ask, threading.Event()
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._over.is_set():
            with contextlib.suppress(httpx.HTTPError):
                self.statuses[self._ask()] += 1
            self._over.wait(0.05)

    def stop(self) -> None:
        """Stop asking."""
        self._over.set()
        self.join(timeout=15)


@conformance("monitor/alert-delivered", since="0.2")
@needs(
    *("read", "write", "fault", "restart"),
    roles=[
        *("edge", "rerank", "vectordb", "metadata", "objectstore", "exporter"),
        *("metrics", "alerts", "pager", "faultproxy"),
    ],
)
@pytest.mark.timeout(240)
def test_alerts_come_with_their_cause_and_go_with_it(
    stack: Stack,
    faults: Inject,
    watch_alert: Callable[..., AlertWatch],
    objectstore: minio.Minio,
    vectordb: QdrantClient,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Each alert MUST go from inactive over firing to delivered once its cause is there, once and
    grouped, also across a restart of Prometheus, and be resolved with it; without the cause it
    MUST stay silent."""
    if not isinstance(stack, Volume) or not isinstance(stack, Restart):
        raise NotAllowed("The target gives no way to restart Prometheus and to leave a report.")
    gateway = connect(new_tenant("watchful", ("work",)).token, timeout=10.0)
    gateway.put_document("work", "Something to ask for.", document_id="asked")
    traffic = Traffic(lambda: int(gateway.query("something", persona="work").status))
    traffic.start()
    settle(stack)
    watches = {name: watch_alert(name, case=evidence.case, arm="treated") for name in CAUSES}
    bucket = stack.credentials("objectstore")["bucket"]
    try:
        for name, watch in watches.items():
            if watch.wait_for("inactive", 15.0) is None:
                raise Inconclusive(f"{name} was not silent before its cause: {watch.state}")
        time.sleep(CONTROL_S)
        for name, watch in watches.items():
            evidence.require(
                f"{name} is silent without its cause, for longer than it waits",
                # A late scrape may make it pending for a moment: that is what waiting is for.
                not {"firing", "delivered"} & watch.first.keys(),
                expected="not firing, nothing delivered",
                actual=watch.first,
            )
        began = time.time()
        with contextlib.ExitStack() as causes:
            causes.enter_context(failed_verifications(objectstore, bucket))
            causes.enter_context(audit_report(stack, 1))
            database = stack.credentials("metadata")["admin_dsn"]
            removed = causes.enter_context(lost_points(vectordb, gateway, database))
            evidence.measure("points removed behind the gateway's back", removed["lost"], "points")
            causes.enter_context(faults("pause", role="rerank"))
            causes.enter_context(faults("failing-archive"))
            causes.enter_context(faults("down", link="gateway-vectordb"))
            for name, watch in watches.items():
                at = watch.wait_for("delivered", COMES_S)
                evidence.require(
                    f"{name} is delivered: {CAUSES[name]}",
                    at is not None,
                    expected=f"at its receiver within {COMES_S:.0f} s",
                    actual=f"{watch.state} in Prometheus; {watch.first} {watch.problem}",
                )
                assert at is not None
                evidence.measure(f"time to detect, {name}", at - began, "s")
            stack.restart("metrics")
            for name, watch in watches.items():
                evidence.require(
                    f"{name} fires again after a restart of Prometheus",
                    _fires(stack, name, 20.0),
                    expected="firing within 20 s",
                    actual=watch.state,
                )
            counted = notices(stack, began)
            for name in CAUSES:
                told = {status: counted[name, status] for status in ("firing", "resolved")}
                evidence.require(
                    f"{name} was delivered once to the chat, whatever it concerns",
                    told == {"firing": 1, "resolved": 0},
                    expected="one notice",
                    actual=told,
                )
            evidence.require(
                "what concerns two stores came in one notice",
                counted["RAG_Backup_Verification_Failed", "members"] == 2,
                expected=2,
                actual=counted["RAG_Backup_Verification_Failed", "members"],
            )
        gone = time.time()
        for name, watch in watches.items():
            at = watch.wait_for("resolved", GOES_S)
            evidence.require(
                f"{name} is resolved at its receiver once its cause is gone",
                at is not None,
                expected=f"a resolved notice within {GOES_S:.0f} s",
                actual=f"{watch.state} in Prometheus; {watch.first}",
            )
            assert at is not None
            evidence.measure(f"time to resolve, {name}", at - gone, "s")
            evidence.require(
                f"{name} went through its states",
                {"inactive", "firing", "delivered", "resolved"} <= watch.first.keys(),
                expected="inactive, firing, delivered, resolved",
                actual=watch.first,
            )
    finally:
        traffic.stop()
    evidence.require(
        "there was load", sum(traffic.statuses.values()) > 100, actual=dict(traffic.statuses)
    )


def settle(stack: Stack) -> None:
    """Wait until what earlier cases, or a slow boot, set off is over and told.

    Raises:
        Inconclusive: it does not end by itself.
    """
    deadline = time.monotonic() + SETTLE_S
    while True:
        active = [alert for alert in CAUSES if _state(stack, alert) != "inactive"]
        told = [name for name, _ in notices(stack, time.time() - QUIET_S) if name in CAUSES]
        if not active and not told:
            return
        if time.monotonic() > deadline:
            raise Inconclusive(f"Not silent before any cause: {active or told}")
        time.sleep(0.5)


def _state(stack: Stack, alert: str) -> str:
    """The alert's state in Prometheus; ``unknown`` while it does not answer."""
    url = stack.endpoint("metrics").url
    with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
        answer = httpx.get(f"{url}/api/v1/alerts", timeout=3, trust_env=False).json()
        states = {
            each["state"]
            for each in answer["data"]["alerts"]
            if each["labels"]["alertname"] == alert
        }
        return next((state for state in ("firing", "pending") if state in states), "inactive")
    return "unknown"


def notices(stack: Stack, since: float) -> Counter[tuple[str, str]]:
    """Count what the chat got since a moment: notices by alert and status, and the most alerts of
    one name that came in one notice (``members``)."""
    url = stack.endpoint("pager").url
    answer = httpx.get(
        f"{url}/deliveries",
        params={"receiver": "chat", "since": since},
        timeout=10,
        trust_env=False,
    )
    found: Counter[tuple[str, str]] = Counter()
    for each in answer.json():
        payload = each["payload"]
        names = Counter(alert["labels"]["alertname"] for alert in payload["alerts"])
        for name, members in names.items():
            found[name, payload["status"]] += 1
            found[name, "members"] = max(found[name, "members"], members)
    return found


def _fires(stack: Stack, alert: str, timeout_s: float) -> bool:
    """Whether Prometheus says within the time that the alert fires."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if _state(stack, alert) == "firing":
            return True
        time.sleep(0.2)
    return False


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
