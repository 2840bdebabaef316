"""monitor/latency-metric, monitor/runbook-link: what rules read is exported, watched, explained."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx

from fixtures.rules import Rules
from harness import conformance, needs
from harness.checks.contract import Series, catalogue, problems
from harness.checks.promql import reads
from harness.core.errors import TargetError
from harness.core.evidence import Evidence
from harness.core.guide import load_objectives
from harness.core.run import CHECKOUT
from harness.drivers.base import Stack
from harness.drivers.operator import from_here

LATENCY = "rag_gateway_query_latency_seconds"
NOT_WATCHED = "RAG_Role_Not_Watched"
SETTLED_S = 15.0
TAKEN_UP_S = 20.0
"""Prometheus takes new targets up in batches, five seconds apart."""


def exported(stack: Stack, recorded: set[str]) -> dict[str, Series]:
    """What the processes that Prometheus scrapes now export, read from each of them.

    Raises:
        TargetError: a process that Prometheus sees up does not answer here.
    """
    texts: dict[str, list[str]] = {}
    with httpx.Client(timeout=5, trust_env=False) as client:
        url = stack.endpoint("metrics").url
        targets = client.get(f"{url}/api/v1/targets").json()["data"]["activeTargets"]
        for target in targets:
            if target["health"] != "up":
                continue
            job = target["labels"]["job"]
            headers = (
                {"api-key": stack.credentials("vectordb")["read_only_api_key"]}
                if job == "vectordb"
                else {}
            )
            answer = client.get(from_here(stack, target["scrapeUrl"]), headers=headers)
            if answer.status_code != 200:
                raise TargetError(
                    f"The metrics of {job} cannot be read.", expected=200, actual=answer.status_code
                )
            texts.setdefault(job, []).append(answer.text)
    return catalogue({job: "\n".join(each) for job, each in texts.items()}, recorded)


@conformance("monitor/latency-metric", since="0.2")
@needs("read", roles=["gateway", "metrics"])
def test_histogram_has_an_edge_at_the_objective(stack: Stack, evidence: Evidence) -> None:
    """The gateway MUST export its query latency in seconds as a histogram with a bucket edge
    exactly at the objective."""
    objective = load_objectives()["query-latency"].threshold_s
    answer = httpx.get(f"{stack.endpoint('gateway').url}/metrics", timeout=5, trust_env=False)
    found = catalogue({"gateway": answer.text})
    series = found.get(f"{LATENCY}_bucket")
    evidence.require(
        f"{LATENCY} is a histogram",
        series is not None and series.kind == "histogram",
        expected="type histogram",
        actual="absent" if series is None else series.kind,
    )
    assert series is not None
    edges = sorted(series.edges)
    evidence.require(
        "one of its buckets has its edge exactly at the objective",
        objective in series.edges,
        expected=f"le={objective}",
        actual=f"no edge there: {edges}",
    )
    beyond = [edge for edge in edges if objective is not None and edge > objective]
    evidence.require(
        "there are edges on either side of it, so that a p95 beyond it can be told",
        edges[0] < (objective or 0) and len(beyond) > 1,
        expected="finer edges below and above",
        actual=edges,
    )


@conformance("monitor/latency-metric", since="0.2")
@needs("read", roles=["metrics"])
def test_rules_read_what_is_exported(stack: Stack, rules: Rules, evidence: Evidence) -> None:
    """Every series and label that a rule reads MUST be exported, with a type that suits what the
    rule does with it and in the unit that it compares with."""
    recorded = {rule["record"] for rule in rules.all() if "record" in rule}
    judged = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules.all()}
    deadline = time.monotonic() + SETTLED_S
    while True:
        # A series may lack its labels for a moment after a boot: before its first sample.
        known = exported(stack, recorded)
        wrong = {name: found for name, expr in judged.items() if (found := problems(expr, known))}
        if not wrong or time.monotonic() > deadline or not _transient(wrong):
            break
        time.sleep(1.0)
    for name in judged:
        evidence.require(
            f"{name} reads what is exported",
            name not in wrong,
            expected="series and labels that are exported, of the right type and unit",
            actual="; ".join(wrong.get(name, [])) or "they are",
        )
    unseen = {
        read.name
        for expr in judged.values()
        for read in reads(expr)
        if known[read.name].labels is None
    }
    evidence.measure("series without a sample yet, judged by name and type", len(unseen), "1")


def _transient(wrong: dict[str, list[str]]) -> bool:
    """Whether all that is wrong is that something is absent, which may come yet."""
    return all("nothing exports" in each for found in wrong.values() for each in found)


@conformance("monitor/alert-delivered", since="0.2")
@needs("read", roles=["metrics"])
def test_every_job_that_is_scraped_is_missed_when_it_goes(
    stack: Stack, rules: Rules, evidence: Evidence
) -> None:
    """Every job that Prometheus scrapes MUST be one whose disappearance is an alert: a target that
    is in no scrape configuration any more is neither up nor down."""
    missed = {
        value
        for read in reads(rules.alert(NOT_WATCHED)["expr"])
        for label, _, value in read.matched
        if (read.name, read.function, label) == ("up", "absent", "job")
    }
    deadline = time.monotonic() + TAKEN_UP_S
    while (scraped := _scraped(stack)) != missed and time.monotonic() < deadline:
        time.sleep(0.5)
    evidence.require(
        "each job that is scraped is missed when it goes, and nothing else is",
        scraped == missed,
        expected=sorted(scraped),
        actual=sorted(missed),
    )


def _scraped(stack: Stack) -> set[str]:
    """The jobs that have a target now."""
    url = stack.endpoint("metrics").url
    answer = httpx.get(f"{url}/api/v1/targets", timeout=5, trust_env=False).json()
    return {target["labels"]["job"] for target in answer["data"]["activeTargets"]}


@conformance("monitor/runbook-link", since="0.2")
def test_every_link_resolves(rules: Rules, evidence: Evidence) -> None:
    """Every alert's runbook link MUST lead to a section that exists and says something."""
    dangling = {}
    for rule in (rule for rule in rules.all() if "alert" in rule):
        problem = unresolved(str(rule["annotations"].get("runbook", "")))
        if problem:
            dangling[rule["alert"]] = problem
    evidence.require(
        "each alert's runbook link leads to a section that exists",
        not dangling,
        expected="a file of the checkout and an anchor in it",
        actual=dangling or "all do",
    )


def unresolved(link: str) -> str:
    """Return what is wrong with a link ``path#anchor`` into the checkout; empty if nothing is."""
    path, _, anchor = link.partition("#")
    page: Path = CHECKOUT / path
    if not path or not anchor or not page.is_file():
        return f"{link or 'no link'}: no such page"
    text = page.read_text()
    _, mark, rest = text.partition(f'<a id="{anchor}"></a>')
    if not mark:
        known = ", ".join(re.findall(r'<a id="([^"]+)">', text))
        return f"{link}: no such section; there are {known}"
    section = rest.partition('<a id="')[0]
    words = section.split()
    return "" if len(words) >= 15 else f"{link}: the section says next to nothing"
