"""capacity/: the alerts on room that runs out, at their thresholds and on their real windows."""

from __future__ import annotations

from fixtures.rules import Rules
from harness import conformance
from harness.core.evidence import Evidence


def spell(minutes: int, during: float, after: float) -> str:
    """Promtool values: ``during`` for so many minutes, then ``after`` for 20 more."""
    return f"{during:.0f}x{minutes * 4 - 1} {after:.0f}x80"


def judge(
    rules: Rules,
    evidence: Evidence,
    alert: str,
    what: str,
    series: dict[str, str],
    first: int | None,
) -> None:
    """Require that the alert fires from the minute ``first`` on, or never (None)."""
    minutes = rules.firing(alert, series, 40)
    evidence.require(
        f"{alert}, {what}: " + ("silent" if first is None else f"fires from minute {first} on"),
        (not minutes) if first is None else bool(minutes) and minutes[0] in (first, first + 1),
        expected="never" if first is None else f"first in minute {first} or {first + 1}",
        actual=f"in minutes {minutes[0]} to {minutes[-1]}" if minutes else "never",
    )


@conformance("capacity/gpu", since="0.2")
def test_gpu_above_80_percent_for_15_minutes_alerts(rules: Rules, evidence: Evidence) -> None:
    """A GPU above 80 % for 15 minutes MUST alert; 14 minutes, or 80 % and no more, MUST NOT."""
    alert, series = "RAG_GPU_Busy", 'DCGM_FI_DEV_GPU_UTIL{gpu="0", instance="gpu"}'
    for what, values, first in (
        ("81 % for 20 minutes", spell(20, 81, 10), 15),
        ("100 % for 14 minutes", spell(14, 100, 10), None),
        ("80 % for 40 minutes", spell(40, 80, 80), None),
        ("a dip below 80 % in minute 10", f"95x39 60 {spell(14, 95, 10)}", None),
        ("a minute without a scrape", "95x20 _x4 95x100", 15),
    ):
        judge(rules, evidence, alert, what, {series: values}, first)
    told = rules.unit_test("capacity_test.yml")
    evidence.require("its unit tests pass", told.ok, expected="SUCCESS", actual=told.failures)


@conformance("capacity/vectors", since="0.2")
def test_15_million_points_alert(rules: Rules, evidence: Evidence) -> None:
    """A collection with 15 million points MUST alert; one with a point fewer MUST NOT."""
    alert = "RAG_Points_Above_15M"
    for what, count, first in (
        ("15,000,000 points", 15_000_000, 10),
        ("14,999,999 points", 14_999_999, None),
    ):
        series = {'rag_vectordb_points{collection="rag-chunks-a"}': spell(39, count, count)}
        judge(rules, evidence, alert, what, series, first)
    small = {f'rag_vectordb_points{{collection="{c}"}}': spell(39, 9e6, 9e6) for c in "ab"}
    judge(rules, evidence, alert, "two collections of 9 million each", small, None)


@conformance("capacity/storage", since="0.2")
def test_a_bucket_at_70_percent_alerts(rules: Rules, evidence: Evidence) -> None:
    """A backup bucket at 70 % of its disk MUST alert; one just below MUST NOT."""
    alert = "RAG_Backup_Bucket_Filling"
    for what, used, first in (("70.0 %", 700, 10), ("69.9 %", 699, None)):
        series = {
            'rag_backup_bucket_used_bytes{bucket="rag-backups"}': spell(39, used, used),
            'rag_backup_bucket_capacity_bytes{bucket="rag-backups"}': spell(39, 1000, 1000),
        }
        judge(rules, evidence, alert, what, series, first)
    unknown = {'rag_backup_bucket_used_bytes{bucket="rag-backups"}': spell(39, 999, 999)}
    judge(rules, evidence, alert, "a bucket of unknown room", unknown, None)
