"""The metric contract refuses queries that read what is not there, and takes those that can be."""

from __future__ import annotations

import pytest

from fixtures.rules import rules_of
from harness.checks.contract import Series, catalogue, problems
from harness.checks.promql import Quantile, Read, quantiles, reads
from harness.drivers.embedded.rules import shipped_rules
from refstack.gateway.metrics import QUERY_BUCKETS
from refstack.opsexporter.families import FAMILIES

GATEWAY = """
# HELP rag_requests_total Requests.
# TYPE rag_requests_total counter
rag_requests_total{route="/v1/query",status="200"} 7
# HELP rag_latency_seconds Time.
# TYPE rag_latency_seconds histogram
rag_latency_seconds_bucket{le="0.1"} 1
rag_latency_seconds_bucket{le="0.25"} 2
rag_latency_seconds_bucket{le="+Inf"} 2
rag_latency_seconds_sum 0.2
rag_latency_seconds_count 2
# HELP rag_queue Entries.
# TYPE rag_queue gauge
rag_queue{queue="cleanup"} 3
# HELP rag_unmeasured Nothing yet.
# TYPE rag_unmeasured gauge
"""


@pytest.fixture
def known() -> dict[str, Series]:
    return catalogue({"gateway": GATEWAY}, ["rag:ratio"])


def test_a_query_is_read_by_its_grammar() -> None:
    found = reads('sum by (le) (rate(a_bucket{route=~"/v1/.+"}[5m])) / on () max(b offset 5m)')
    assert found == [
        Read("a_bucket", (("route", "=~", "/v1/.+"),), ("le",), "rate"),
        Read("b", (), (), ""),
    ]


def test_a_quantile_is_told_with_what_it_is_compared_with() -> None:
    query = "histogram_quantile(0.95, sum(rate(a_bucket[5m])) by (le)) > 0.25"
    assert quantiles(query) == [Quantile("a_bucket", 0.25)]


def test_what_is_no_query_is_a_problem(known: dict[str, Series]) -> None:
    assert "no PromQL" in problems("sum(rate(", known)[0]


@pytest.mark.parametrize(
    "query",
    [
        'sum(rate(rag_requests_total{status=~"5.."}[5m])) / sum(rate(rag_requests_total[5m]))',
        "histogram_quantile(0.95, sum(rate(rag_latency_seconds_bucket[5m])) by (le)) > 0.25",
        "deriv(rag_queue[30m]) > 0",
        'rag_queue{queue=~"clean.*"}',
        'rate(rag_requests_total{status="503"}[5m])',
        "max by (job, instance) (up) == 0",
        "rag:ratio > 0.05",
        "max by (anything) (rag_unmeasured)",
        "vector(1)",
    ],
)
def test_what_is_exported_can_be_read(query: str, known: dict[str, Series]) -> None:
    assert problems(query, known) == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("rate(rag_request_total[5m])", "reads rag_request_total, which nothing exports"),
        ("rate(rag_requests_total{code='500'}[5m])", "names the label code"),
        ("sum by (tenant) (rag_queue)", "names the label tenant"),
        ("rate(rag_queue[5m])", "takes the rate of rag_queue, which is a gauge"),
        ("deriv(rag_requests_total[5m])", "takes the deriv of rag_requests_total"),
        (
            "histogram_quantile(0.95, sum(rate(rag_latency_seconds_bucket[5m])) by (le)) > 250",
            "with 250, which is no edge",
        ),
        (
            "histogram_quantile(0.95, sum(rate(rag_latency_seconds_bucket[5m])) by (job)) > 0.25",
            "drops its label le",
        ),
        ('rag_queue{job="rerank"}', "of the job rerank, which exports none"),
        ('rag_queue{queue="clean-up"}', "of which there is only cleanup"),
        ('max(rag_queue{queue=~"ingest|outbox"}) > 0', "of which there is only cleanup"),
    ],
)
def test_what_is_not_there_is_named(query: str, told: str, known: dict[str, Series]) -> None:
    found = problems(query, known)
    assert found, "nothing was found wrong"
    assert told in "; ".join(found)


def test_every_shipped_rule_reads_what_the_code_declares() -> None:
    """Without a stack: the exporter's own list of families, also those without a sample."""
    recorded = [
        rule["record"] for text in shipped_rules().values() for rule in rules_of(text)
        if "record" in rule
    ]  # fmt: skip
    declared = catalogue({}, recorded)
    for family in FAMILIES.values():
        kind = "counter" if family.counter else "gauge"
        declared[family.name] = Series(kind, set(family.labels), {"exporter"})
    for part in ("bucket", "sum", "count"):
        declared[f"rag_gateway_query_latency_seconds_{part}"] = Series(
            "histogram", {"le"}, {"gateway"}, set(QUERY_BUCKETS)
        )
    requests = {"route", "method", "status"}
    declared["rag_gateway_requests_total"] = Series("counter", requests, {"gateway"})
    declared["DCGM_FI_DEV_GPU_UTIL"] = Series("gauge", {"gpu", "UUID"}, {"gpu"})
    wrong = {
        rule.get("alert") or rule["record"]: found
        for text in shipped_rules().values()
        for rule in rules_of(text)
        if (found := problems(rule["expr"], declared))
    }
    assert not wrong
