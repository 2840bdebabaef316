"""monitor/latency-rule, monitor/alert-delivered: the shipped rules, on their real windows."""

from __future__ import annotations

import re
from typing import Any

from fixtures.rule_mutants import EQUIVALENT, WAYS
from fixtures.rules import Rules, changed, changed_record, rules_of
from harness import conformance
from harness.core.evidence import Evidence

LATENCY = "RAG_P95_Latency_High"
BUCKET = "rag_gateway_query_latency_seconds_bucket"
GUIDE = (
    "histogram_quantile(0.95, sum(rate(rag_gateway_query_latency_seconds_bucket[5m])) by (le)) "
    "> 0.25"
)
"""The expression of guide §3.2, with plain hyphens."""

HOUR_STEPS = 240


def slow(share: int, minutes: int) -> dict[str, str]:
    """Bucket counters of an hour: for ``minutes``, ``share`` of each 100 queries (in 15 s) took
    250 to 300 ms; then none."""
    steps = minutes * 4
    rest = HOUR_STEPS - steps
    series = {}
    for edge, during in (("0.1", 50), ("0.25", 100 - share), ("0.3", 100), ("+Inf", 100)):
        after = f" {during * steps + 100}+100x{rest - 1}" if rest > 1 else ""
        series[f'{BUCKET}{{le="{edge}", instance="gateway-blue"}}'] = f"0+{during}x{steps}{after}"
    return series


@conformance("monitor/latency-rule", since="0.2")
def test_pages_after_ten_minutes_above_the_objective(rules: Rules, evidence: Evidence) -> None:
    """The latency rule MUST page once p95 over 5 minutes has been above 250 ms for 10 minutes, and
    at no other time: not at the objective, not for less long, not without queries."""
    rule = rules.alert(LATENCY)
    evidence.require(
        "the rule is the guide's: expression, waiting time and severity",
        (" ".join(rule["expr"].split()), rule.get("for"), rule["labels"]["severity"])
        == (GUIDE, "10m", "page"),
        expected=f"{GUIDE}, for 10m, severity page",
        actual=f"{rule['expr']}, for {rule.get('for')}, severity {rule['labels']['severity']}",
    )
    minutes = rules.firing(LATENCY, slow(6, 25), 45)
    evidence.require(
        "with 6 of 100 queries too slow it fires in minute 10 or 11 and for as long as that lasts",
        bool(minutes)
        and minutes[0] in (10, 11)
        and minutes == list(range(minutes[0], minutes[-1] + 1))
        and 25 <= minutes[-1] <= 30,
        expected="from minute 10 or 11 to 25..30, without a gap",
        actual=minutes or "never",
    )
    for what, series in (
        ("5 of 100, which is the objective", slow(5, 59)),
        ("6 of 100 for 4 minutes, 9 with what the window remembers", slow(6, 4)),
        ("no query at all", {f'{BUCKET}{{le="{e}"}}': "9+0x200" for e in ("0.25", "+Inf")}),
    ):
        found = rules.firing(LATENCY, series, 45)
        evidence.require(f"silent: {what}", not found, expected="never", actual=found or "never")


@conformance("monitor/latency-rule", since="0.2")
def test_its_unit_tests_pass_and_would_notice(rules: Rules, evidence: Evidence) -> None:
    """The latency rule's unit tests MUST pass, and MUST fail for a rule that is a little wrong."""
    told = rules.unit_test("latency_test.yml")
    evidence.require(
        "the shipped unit tests pass", told.ok, expected="SUCCESS", actual=told.failures
    )

    def waits(duration: str) -> Any:
        return lambda rule: rule.update({"for": duration})

    def reads(old: str, new: str) -> Any:
        return lambda rule: rule.update(expr=rule["expr"].replace(old, new))

    for what, change in {
        "no waiting": waits("0s"),
        "9 minutes": waits("9m"),
        "11 minutes": waits("11m"),
        "milliseconds for seconds": reads("> 0.25", "> 250"),
        "at the objective": reads("> 0.25", ">= 0.25"),
        "another quantile": reads("0.95", "0.9"),
        "summed by process": reads("by (le)", "by (le, instance)"),
        "an hour's window": reads("[5m]", "[1h]"),
    }.items():
        text = changed(rules.texts["latency.yml"], change)
        noticed = not rules.unit_test("latency_test.yml", texts={"latency.yml": text}).ok
        evidence.require(
            f"the unit tests notice: {what}", noticed, expected="FAILED", actual="SUCCESS"
        )


@conformance("monitor/alert-delivered", since="0.2")
def test_every_rule_fires_when_it_must_by_its_unit_tests(rules: Rules, evidence: Evidence) -> None:
    """Every shipped alert MUST fire at its threshold after its time and be silent otherwise, by
    unit tests on the real windows that would notice if it never fired."""
    told = rules.check()
    evidence.require(
        "promtool takes the rule files", told.ok, expected="SUCCESS", actual=told.failures
    )
    told = rules.unit_test()
    evidence.require(
        "the shipped unit tests pass", told.ok, expected="SUCCESS", actual=told.failures
    )

    def never(rule: dict[str, Any]) -> None:
        rule["expr"] = f"({rule['expr']}) and on () (vector(1) == 0)"

    dead = {name: changed(text, never) for name, text in rules.texts.items()}
    telling = [name for name, text in rules.tests.items() if "alert_rule_test" in text]
    complaints = rules.unit_test(*telling, texts=dead).text if telling else ""
    alerts = [rule["alert"] for rule in rules.all() if "alert" in rule]
    untested = [
        name
        for name in alerts
        if not re.search(rf"alertname: {name},.*?exp:\[\s*0:", complaints, re.S)
    ]
    evidence.require(
        f"each of the {len(alerts)} alerts has a unit test that sees it fire",
        not untested,
        expected="a complaint about each alert once none can fire",
        actual=f"nobody would notice: {', '.join(untested)}" if untested else "all noticed",
    )


@conformance("monitor/alert-delivered", since="0.2", profiles=("full",))
def test_unit_tests_notice_a_rule_that_is_a_little_wrong(rules: Rules, evidence: Evidence) -> None:
    """The unit tests MUST fail for every alert that waits, compares, aggregates or looks back a
    little differently, so that it is known to fire at its edge and not just beyond or below."""
    for way, change in WAYS.items():
        wrong: set[str] = set()

        def spoil(rule: dict[str, Any], change: Any = change, wrong: set[str] = wrong) -> None:
            before = repr(rule)
            change(rule)
            if repr(rule) != before:
                wrong.add(rule["alert"])

        texts = {name: changed(text, spoil) for name, text in rules.texts.items()}
        noticed = rules.unit_test(texts=texts).named
        missed = wrong - noticed - EQUIVALENT.get(way, set())
        evidence.require(
            f"{way}: noticed of each of {len(wrong)} alerts",
            not missed,
            expected="a failing unit test each",
            actual=f"nobody would notice: {', '.join(sorted(missed))}" if missed else "noticed",
        )
    for name in (rule["record"] for rule in rules.all() if "record" in rule):
        for factor in (2, 0.5):
            text = rules.texts["availability.yml"]
            wrong_text = changed_record(text, name, factor)
            told = rules.unit_test(*BURN_TESTS, texts={"availability.yml": wrong_text})
            evidence.require(
                f"{name} over a window {factor:g} times as long is noticed",
                not told.ok,
                expected="FAILED",
                actual="SUCCESS",
            )


BURN_TESTS = (
    "availability_test.yml",
    "burn_test.yml",
    "slow_burn_test.yml",
    "steady_burn_test.yml",
)


@conformance("monitor/alert-delivered", since="0.2")
def test_every_rule_says_what_whom_and_where(rules: Rules, evidence: Evidence) -> None:
    """Every alert MUST carry a severity that is routed, a summary in plain words, a description and
    a runbook link; those that page MUST wait long enough to be no blip, or say why not."""
    at_once = {"RAG_Dead_Mans_Switch", "RAG_Backup_Verification_Failed", "RAG_Leakage_Found"}
    for name, text in rules.texts.items():
        for rule in (rule for rule in rules_of(text) if "alert" in rule):
            alert, annotations = rule["alert"], rule.get("annotations", {})
            severity = rule.get("labels", {}).get("severity")
            evidence.require(
                f"{alert}: severity",
                severity in ("page", "ticket", "none"),
                expected="page, ticket or none",
                actual=severity,
            )
            missing = {"summary", "description", "runbook"} - annotations.keys()
            evidence.require(
                f"{alert}: annotations",
                not missing,
                expected="summary, description and runbook",
                actual=f"without {', '.join(sorted(missing))}" if missing else "all",
            )
            evidence.require(
                f"{alert} ({name}): it waits, unless what it reports cannot pass by itself",
                "for" in rule or alert in at_once,
                expected="for: a duration",
                actual=rule.get("for", "none"),
            )
