"""The alert rules and the objectives of guide/slo.yaml count the same events to the same limits."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.checks.promql import quantiles, reads
from harness.core.guide import GUIDE, load_objectives
from harness.drivers.embedded.rules import shipped_rules

Matched = frozenset[tuple[str, str, str]]


def objective(name: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((GUIDE / "slo.yaml").read_text())
    found: dict[str, Any] = next(d for d in documents if d["metadata"]["name"] == name)
    return found


def query(document: dict[str, Any], part: str) -> str:
    ratio = document["spec"]["indicator"]["spec"]["ratioMetric"]
    return str(ratio[part]["metricSource"]["spec"]["query"])


def selector(text: str) -> tuple[str, Matched]:
    (read,) = reads(text)
    return read.name, frozenset(read.matched)


def rules() -> dict[str, str]:
    loaded = [yaml.safe_load(text) for text in shipped_rules().values()]
    return {
        rule.get("alert") or rule["record"]: rule["expr"]
        for document in loaded
        for group in document["groups"]
        for rule in group["rules"]
    }


def test_every_recorded_error_ratio_divides_what_the_objective_counts() -> None:
    total = selector(query(objective("availability"), "total"))
    ratios = {name: expr for name, expr in rules().items() if "request_errors:ratio" in name}
    assert ratios
    for name, expr in ratios.items():
        errors, all_requests = ((read.name, frozenset(read.matched)) for read in reads(expr))
        assert all_requests == total, name
        assert errors == (total[0], total[1] | {("status", "=~", "5..")}), name


def test_what_the_objective_calls_good_is_all_but_what_the_rules_call_an_error() -> None:
    total = selector(query(objective("availability"), "total"))
    good = selector(query(objective("availability"), "good"))
    assert good == (total[0], total[1] | {("status", "!~", "5..")})


def test_what_probes_and_scrapes_are_told_is_counted_by_neither() -> None:
    _, matched = selector(query(objective("availability"), "total"))
    (pattern,) = [value for label, _, value in matched if label == "route"]
    assert re.fullmatch(pattern, "/v1/query")
    for route in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert not re.fullmatch(pattern, route)


def test_the_burn_rates_are_those_of_the_objectives_budget() -> None:
    budget = 1 - load_objectives()["availability"].target
    for name in ("RAG_Error_Budget_Burn_Fast", "RAG_Error_Budget_Burn_Slow"):
        figures = re.findall(r"> (?:[\d.]+ \* )?(0\.\d+)", rules()[name])
        assert figures and {float(each) for each in figures} == {round(budget, 9)}, name


def test_the_latency_rule_asks_for_the_objectives_share_and_limit() -> None:
    objective_ = load_objectives()["query-latency"]
    expr = rules()["RAG_P95_Latency_High"]
    (found,) = quantiles(expr)
    assert found.limit == objective_.threshold_s
    assert f"histogram_quantile({objective_.target:g}," in expr
    good, _ = selector(query(objective("query-latency"), "good"))
    assert good == found.name
