"""monitor/alert-delivered: alerts that wait long, and each role that can be down, driven live."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import timedelta

import minio
import pytest
from qdrant_client import QdrantClient

from fixtures.alert_lapses import (
    busy_gpu,
    overdue_key,
    prometheus_file,
    stuck_queue,
    tls_server,
    unwatched,
    watched_bucket,
)
from fixtures.alert_life import (
    Traffic,
    expect_delivered,
    expect_resolved,
    expect_silent,
    expect_waited,
    members,
    settle,
)
from fixtures.alerts import AlertWatch
from fixtures.faults import Inject
from fixtures.many_points import grown_store
from fixtures.rules import Rules
from fixtures.stores import ALIAS
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.core.run import Run
from harness.drivers.base import Restart, Stack, Volume

SLOW_CAUSES = {
    "RAG_Key_Too_Old": "an API key is 61 days old",
    "RAG_Certificate_Expiring": "a certificate is valid for 20 more days",
    "RAG_Backup_Verification_Too_Old": "no backup of the metadata store was tried for 9 days",
    "RAG_GPU_Busy": "the GPU is 95 % busy",
    "RAG_Points_Above_15M": "a stand-in says that the collection has 15 million points",
    "RAG_Queue_Growing": "points that must go are listed faster than they can be removed",
    "RAG_Role_Not_Watched": "the log shipper is in no scrape configuration any more",
    "RAG_Error_Budget_Burn_Fast": "every query fails for a minute",
}
CONTROL_S = 20.0
"""Longer than most of these wait. What waits for an hour (60 s at the default scale) is told apart
by its neighbour instead: of two keys, certificates or stores one has the cause, one has not."""

COMES_S = 150.0
GOES_S = 150.0

JOBS = ("vectordb", "auth", "embed", "rerank", "gateway", "gpu", "logs", "logship", "objectstore")
"""Roles that are scraped, in an order in which they can be started."""

PROBED = ("metadata", "edge", "objectstore")
"""Roles that the exporter knocks at; the pager, which is one too, has to take the notices."""

ORDER = ("metadata", "objectstore", "vectordb", "auth", "embed", "rerank", "gateway", "edge")


@conformance("monitor/alert-delivered", since="0.2", profiles=("full",))
@needs(
    *("read", "write", "fault", "restart"),
    roles=[
        *("edge", "vectordb", "metadata", "objectstore", "exporter", "gpu", "logship"),
        *("metrics", "alerts", "pager", "faultproxy"),
    ],
)
@pytest.mark.timeout(600)
def test_alerts_that_wait_long_come_and_go_too(
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
    """Alerts on what grows old, fills up or is forgotten MUST be delivered once their cause is
    there, name what has the cause and nothing else, and be resolved with it."""
    if not isinstance(stack, Volume):
        raise NotAllowed("The target gives no way to let a key grow old, or a GPU busy.")
    prometheus_file(stack)
    gateway = connect(new_tenant("patient", ("work",)).token, timeout=10.0)
    gateway.put_document("work", "Something to ask for.", document_id="asked")
    traffic = Traffic(lambda: int(gateway.query("something", persona="work").status))
    database = stack.credentials("metadata")["admin_dsn"]
    year = timedelta(days=365)
    aliases = vectordb.get_aliases().aliases
    collection = next(each.collection_name for each in aliases if each.alias_name == ALIAS)
    with contextlib.ExitStack() as place:
        ending, lasting = (place.enter_context(tls_server(year)) for _ in range(2))
        store = stack.endpoint("vectordb").url
        grown = place.enter_context(grown_store(store))
        served = f"ending=127.0.0.1:{ending.port},lasting=127.0.0.1:{lasting.port}"
        watched = {"EXPORTER_CERTIFICATES": served, "EXPORTER_VECTORDB_URL": grown.url}
        bucket = place.enter_context(
            watched_bucket(stack, objectstore, watched, {"EXPORTER_VECTORDB_URL": store})
        )
        traffic.start()
        place.callback(traffic.stop)
        settle(stack, SLOW_CAUSES)
        watches = {name: watch_alert(name, case=evidence.case) for name in SLOW_CAUSES}
        expect_silent(evidence, watches, CONTROL_S)
        began = time.time()
        with contextlib.ExitStack() as causes:
            causes.enter_context(bucket.nothing_verified_since("metadata", timedelta(days=9)))
            causes.enter_context(overdue_key(stack, "forgotten", timedelta(days=61)))
            ending.show(timedelta(days=20))
            causes.callback(ending.show, year)
            causes.enter_context(busy_gpu(stack, 95.0))
            causes.enter_context(grown.grown(collection, 15_000_000))
            causes.enter_context(unwatched(stack, "logship"))
            causes.enter_context(faults("down", link="gateway-vectordb"))
            causes.enter_context(stuck_queue(database))
            expect_delivered(evidence, watches, SLOW_CAUSES, began, COMES_S)
            expect_waited(stack, evidence, rules.waits(SLOW_CAUSES, run.time_scale), began)
            for alert, label, guilty in (
                ("RAG_Key_Too_Old", "key", "forgotten"),
                ("RAG_Certificate_Expiring", "name", "ending"),
                ("RAG_Backup_Verification_Too_Old", "store", "metadata"),
                ("RAG_Role_Not_Watched", "job", "logship"),
                ("RAG_Queue_Growing", "queue", "vector-cleanup"),
                ("RAG_Points_Above_15M", "collection", collection),
            ):
                named = members(stack, began, alert, label)
                evidence.require(
                    f"{alert} names {guilty}, which has the cause, and nothing else",
                    named == {guilty},
                    expected=guilty,
                    actual=sorted(named),
                )
            gone = time.time()
        expect_resolved(evidence, watches, gone, GOES_S)


@conformance("monitor/alert-delivered", since="0.2", profiles=("full",))
@needs(
    *("read", "write", "restart"),
    roles=[*JOBS, "metadata", "edge", "exporter", "metrics", "alerts", "pager"],
)
@pytest.mark.timeout(600)
def test_each_role_that_is_down_is_named(
    stack: Stack, watch_alert: Callable[..., AlertWatch], evidence: Evidence
) -> None:
    """Whichever role is stopped, an alert MUST name it, and be resolved once it is back; what is
    up MUST NOT be named."""
    if not isinstance(stack, Restart):
        raise NotAllowed("The target gives no way to stop its roles.")
    alerts = ("RAG_Role_Down", "RAG_Role_Unreachable")
    others = [role for role in JOBS if role not in ORDER]
    settle(stack, alerts)
    watches = {name: watch_alert(name, case=evidence.case) for name in alerts}
    expect_silent(evidence, watches, CONTROL_S / 4)
    began = time.time()
    try:
        for role in (*others, *reversed(ORDER)):
            stack.stop(role)
        down = _await_members(stack, began, "RAG_Role_Down", "job", set(JOBS))
        evidence.require(
            "each role that is scraped is named, and no other",
            down == set(JOBS),
            expected=sorted(JOBS),
            actual=sorted(down),
        )
        unreachable = _await_members(stack, began, "RAG_Role_Unreachable", "role", set(PROBED))
        evidence.require(
            "each role that is knocked at is named, and no other",
            unreachable == set(PROBED),
            expected=sorted(PROBED),
            actual=sorted(unreachable),
        )
    finally:
        gone = time.time()
        for role in (*ORDER, *others):
            stack.start(role)
    expect_resolved(evidence, watches, gone, GOES_S)
    settle(stack, alerts)
    again = time.time()
    stack.stop("exporter")
    try:
        down = _await_members(stack, again, "RAG_Role_Down", "job", {"exporter"})
    finally:
        stack.start("exporter")
    evidence.require(
        "the exporter, which knocks at the others, is named when it is down itself",
        down == {"exporter"},
        expected="exporter",
        actual=sorted(down),
    )
    settle(stack, alerts)


def _await_members(stack: Stack, since: float, alert: str, label: str, due: set[str]) -> set[str]:
    """What the chat was told of by the alert, once all that is due was told or time is up."""
    deadline = time.monotonic() + COMES_S
    while not due <= (found := members(stack, since, alert, label)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return found
