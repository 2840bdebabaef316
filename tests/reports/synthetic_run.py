"""Makes realistic run directories for the tests of the reports, with no clock and no chance."""

from __future__ import annotations

import json
import math
import random
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core import events
from harness.core.history import History

BEGAN = 1_795_334_400.0
"""2026-11-22 08:00:00 UTC."""

_DATA = tomllib.loads((Path(__file__).parent / "synthetic_run.toml").read_text())


@dataclass
class Maker:
    """Writes a history step by step; ``now`` is the clock, in UTC seconds."""

    directory: Path
    seed: int = 20261122
    now: float = BEGAN
    verdicts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = History(self.directory)
        self.random = random.Random(self.seed)

    def write(self, event: events.Event, *, at: float | None = None) -> None:
        self.history.write(event, t=self.now if at is None else at)

    def start(self, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "run_id": "20261122-080000-full",
            "profile": "full",
            "driver": "embedded",
            "target": "reference",
            "argv": ["pytest", "--profile", "full", "--seed", str(self.seed)],
            "seed": self.seed,
            "time_scale": 1.0,
            "version": "0.1.0",
            "host": {
                "cpus": 8,
                "memory_bytes": 33_554_432_000,
                "kernel": "6.12.9",
                "python": "3.12.8",
            },
            "git": {"commit": "4f2a9c1be07d5566a1f0c3", "dirty": False},
        }
        self.write(events.RunStart(**(fields | changes)))

    def guide(self, waivers: dict[str, dict[str, str]] | None = None) -> None:
        for known in _DATA["requirement"]:
            waiver = (waivers or {}).get(known["slug"])
            self.write(events.RequirementKnown(**known, waiver=waiver))

    def components(self) -> None:
        for role, software, version, stand_in, note in (
            ("gateway", "refstack gateway", "0.1.0", False, "blue and green"),
            ("embed", "refstack embed", "0.1.0", False, "wordllama-256, minilm-384"),
            ("vectordb", "qdrant-edge", "0.9.1", True, "Qdrant's REST API on Qdrant's engine"),
            ("metadata", "PostgreSQL", "18.6", False, ""),
            ("objectstore", "SeaweedFS", "4.48", False, ""),
            ("edge", "nginx", "1.31.2", False, ""),
            ("metrics", "Prometheus", "3.8.0", False, ""),
            ("alerts", "Alertmanager", "0.30.0", False, ""),
            ("pager", "refstack pager", "0.1.0", True, "chat and paging receivers"),
        ):
            self.write(events.ComponentSeen(role, software, version, stand_in, note))
        self.now += 9.4
        self.write(
            events.StackReady(9.4, {"metadata": 2.1, "vectordb": 1.2, "gateway": 0.9, "edge": 0.3})
        )

    def begin(self, case: str, title: str = "", needs: tuple[str, ...] = ("read",)) -> None:
        slug, _, name = case.partition("::")
        known = {entry["slug"]: entry["sentence"] for entry in _DATA["requirement"]}
        nodeid = f"suites/{slug.split('/')[0]}/test_{slug.split('/')[1]}.py::test_{name}"
        self.now += 0.05
        self.write(
            events.CaseStart(case, slug, title or known.get(slug, ""), nodeid, list(needs), [])
        )

    def saw(self, case: str, what: str, verdict: str = "pass", **more: Any) -> None:
        self.write(events.Observation(case, what, verdict, **more))

    def measure(self, case: str, name: str, value: float, unit: str, **more: Any) -> None:
        self.write(events.Measure(case, name, value, unit, **more))

    def end(
        self, case: str, verdict: str, seconds: float = 1.2, message: str = "", **more: Any
    ) -> None:
        self.now += seconds
        self.verdicts.append(verdict)
        rerun = f"ragdrill verify --case '{case}' --seed {self.seed}"
        slug = case.partition("::")[0]
        self.write(events.CaseVerdict(case, slug, verdict, seconds, message, rerun, **more))

    def passing(self, case: str, what: str, seconds: float = 1.2, **more: Any) -> None:
        self.begin(case)
        self.saw(case, what, **more)
        self.end(case, "pass", seconds)

    def samples(
        self,
        case: str,
        name: str,
        rows: list[dict[str, Any]],
        limit: float | None = None,
        arm: str = "",
    ) -> None:
        stem = "".join(c if c.isalnum() else "-" for c in f"{case}-{name}-{arm}".strip("-"))
        path = self.directory / "samples" / f"{stem}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = f"samples/{stem}.jsonl"
        self.write(events.Samples(case, name, "s", file, len(rows), limit, arm))

    def finish(self, **changes: Any) -> None:
        order = ("error", "fail", "inconclusive", "skip", "pass")
        found = next((word for word in order if word in self.verdicts), "skip")
        code = {"error": 2, "fail": 1, "inconclusive": 1, "skip": 1, "pass": 0}[found]
        counts = {word: self.verdicts.count(word) for word in order}
        fields: dict[str, Any] = {
            "verdict": found,
            "counts": counts,
            "exit_code": code,
            "seconds": self.now - BEGAN,
        }
        self.write(events.RunVerdict(**(fields | changes)))

    def latencies(
        self,
        start: float,
        seconds: float,
        rate: float,
        median: float,
        *,
        arm: str = "",
        failing: float = 0.0,
    ) -> list[dict[str, Any]]:
        """Open-loop arrivals with log-normal latencies and a share ``failing`` of fast errors."""
        rows = []
        for index in range(int(seconds * rate)):
            failed = self.random.random() < failing
            latency = 0.011 if failed else median * math.exp(self.random.gauss(0, 0.32))
            rows.append(
                {
                    "t": round(start + index / rate, 4),
                    "seconds": None if failed and index % 3 == 0 else round(latency, 5),
                    "status": 503 if failed else 200,
                    "ok": not failed,
                    "error": "503 from gateway" if failed else None,
                    "arm": arm,
                }
            )
        return rows


def scenario_arm(make: Maker, case: str, arm: str) -> None:
    """One arm of the latency scenario: 600 requests over two minutes, fault from second 20 on."""
    began, treated = make.now, arm == "treated"
    fault = f"latency-{arm}"

    def at(second: float, event: events.Event) -> None:
        make.write(event, at=began + second)

    at(0, events.ScenarioPhase(case, arm, "steady", "objectives hold with 100 requests"))
    at(20, events.ScenarioPhase(case, arm, "fault"))
    at(20.2, events.FaultInjected(fault, "latency", "gateway-embed", {"ms": 400}, case, arm))
    at(
        22.4,
        events.FaultLanded(fault, True, {"median_before": 0.06, "median_after": 0.46}, case, arm),
    )
    at(23, events.ScenarioPhase(case, arm, "alert"))
    alert = "RAG_P95_Latency_High"
    at(0.5, events.AlertSeen(alert, "inactive", began + 0.5, case, arm))
    at(31, events.AlertSeen(alert, "pending", began + 31, case, arm, {"severity": "page"}))
    at(43, events.AlertSeen(alert, "firing", began + 43, case, arm))
    at(46.5, events.AlertSeen(alert, "delivered", began + 46.5, case, arm))
    if treated:
        book, step = "latency", "embed-fallback"
        at(48, events.ScenarioPhase(case, arm, "playbook"))
        at(
            48.5,
            events.PlaybookStep(
                book, "rerank-batch", "condition", False, {"rerank_p95": 0.04}, case, arm
            ),
        )
        at(50, events.PlaybookStep(book, step, "condition", True, {"embed_p95": 0.47}, case, arm))
        at(54, events.PlaybookStep(book, step, "action", True, {"provider": "fallback"}, case, arm))
        at(75, events.PlaybookStep(book, step, "effect", True, {"p95": 0.13}, case, arm))
        at(76, events.ScenarioPhase(case, arm, "recovery", "with the fault still in place"))
        at(96, events.AlertSeen(alert, "resolved", began + 96, case, arm))
    else:
        at(48, events.ScenarioPhase(case, arm, "hold", "no step taken"))
    at(110, events.ScenarioPhase(case, arm, "heal"))
    at(110.4, events.FaultHealed(fault, True, {"median": 0.06}, case, arm))
    at(120, events.ScenarioPhase(case, arm, "end"))
    rows = make.latencies(began, 20, 5, 0.06, arm=arm)
    rows += make.latencies(began + 20, 34, 5, 0.47, arm=arm, failing=0.12)
    rows += make.latencies(
        began + 54, 56, 5, 0.085 if treated else 0.47, arm=arm, failing=0.0 if treated else 0.12
    )
    rows += make.latencies(began + 110, 10, 5, 0.06, arm=arm)
    make.now = began + 121
    make.samples(case, "query latency", rows, 0.25, arm)


def scenario(make: Maker, verdict: str = "pass") -> None:
    """The latency playbook with its control arm."""
    case = "playbook/latency::embed_fallback_brings_p95_back"
    make.begin(case, needs=("fault",))
    scenario_arm(make, case, "treated")
    scenario_arm(make, case, "control")
    more: dict[str, Any] = {
        "limit": 0.25,
        "level": 0.95,
        "method": "order statistics, blocks of 2 s",
    }
    make.measure(case, "p95 after the step", 0.1403, "s", n=280, interval=[0.1318, 0.1522], **more)
    make.measure(
        case, "p95 of the control arm", 0.7921, "s", n=280, interval=[0.744, 0.861], **more
    )
    make.measure(case, "time to detect", 22.8, "s", limit=60.0)
    make.measure(case, "time to recover", 54.8, "s", limit=300.0)
    make.saw(case, "the alert fired and was delivered", expected="within 60 s", actual="26.3 s")
    make.saw(
        case, "p95 is back with the fault in place", expected="at most 250 ms", actual="140.3 ms"
    )
    make.saw(
        case, "the control arm stays red for as long", expected="above 250 ms", actual="792.1 ms"
    )
    make.end(case, verdict, 243.0)


def slo(make: Maker, *, median: float = 0.071, verdict: str = "pass") -> None:
    """The latency objective with 1,200 samples, and availability."""
    case = "slo/latency::p95_under_reference_load"
    make.begin(case, needs=("write",))
    rows = make.latencies(make.now, 60, 20, median)
    make.now += 60
    make.samples(case, "query latency", rows, 0.25)
    ordered = sorted(row["seconds"] for row in rows)
    value = ordered[int(0.95 * len(ordered))]
    make.measure(
        case, "query p95", value, "s", n=1200, interval=[value * 0.94, value * 1.07],
        level=0.95, limit=0.25, method="order statistics, blocks of 2 s",
    )  # fmt: skip
    make.saw(
        case, "query p95 lies under the objective", verdict, expected="at most 250 ms",
        actual=f"{value * 1000:.1f} ms", details={"arrivals": "open loop", "late": 0},
    )  # fmt: skip
    make.end(
        case, verdict, 61.3, "" if verdict == "pass" else "Query p95 lies above the objective."
    )


def full(directory: Path) -> Path:
    """A run with every verdict, a scenario with both arms, waivers, notes and stand-ins."""
    make = Maker(directory)
    make.start()
    make.guide(_DATA["waivers"])
    make.components()
    make.write(events.Note("info", "Grafana is not part of the embedded target."))
    slo(make)
    _availability(make)
    for known in _DATA["passing"]:
        make.passing(**known)
    scenario(make)
    _not_passing(make)
    _skipping(make)
    make.now += 1.1
    make.write(events.StackGone(1.1))
    make.finish()
    make.history.close()
    return directory


def _availability(make: Maker) -> None:
    case = "slo/availability::errors_within_budget"
    make.begin(case)
    make.measure(
        case, "share of successful requests", 0.99951, "share", n=12_260,
        interval=[0.99905, 0.99979], level=0.95, limit=0.999, side="min", method="Clopper-Pearson",
    )  # fmt: skip
    make.saw(
        case,
        "the share of successes reaches the objective",
        expected="at least 99.9 %",
        actual="99.951 %",
    )
    make.end(case, "pass", 61.0)


def _not_passing(make: Maker) -> None:
    case, known = "recovery/round-trip::restore_brings_back_identical_content", _DATA["round_trip"]
    make.begin(case, known["sentence"], ("destroy",))
    make.saw(case, "ids are the same", expected=2048, actual=2048)
    differ = {"expected": known["expected"], "actual": known["actual"]}
    make.saw(case, known["what"], "fail", **differ)
    make.end(case, "fail", 38.2, known["what"], **differ)

    case = "rollout/blue-green::no_failed_request_on_fresh_connections"
    make.begin(case, needs=("restart",))
    make.measure(case, "failed requests", 3, "count", n=2400, interval=[1, 8], level=0.95, limit=0)
    what = "Requests failed while green took over: connection refused."
    make.saw(case, what, "fail", expected=0, actual=3)
    make.write(events.FaultInjected("slow-green", "latency", "edge-green", {"ms": 80}, case))
    make.write(events.FaultLanded("slow-green", True, {"median_after": 0.14}, case))
    make.end(
        case, "fail", 21.6, what, expected=0, actual=3, active_faults=["latency on edge-green"]
    )
    make.write(events.FaultHealed("slow-green", True, {}, case))

    case = "tune/ef::recall_rises"
    make.begin(case)
    make.measure(
        case,
        "recall gain",
        0.012,
        "share",
        n=200,
        interval=[-0.004, 0.027],
        level=0.95,
        limit=0.0,
        side="min",
        method="paired bootstrap",
    )
    what = "The interval of the gain holds zero after the whole budget of 200 questions."
    make.saw(case, what, "inconclusive", expected="a gain above 0", actual="1.2 % [−0.4 %, 2.7 %]")
    make.end(
        case, "inconclusive", 44.0, what, expected="a gain above 0", actual="1.2 % [−0.4 %, 2.7 %]"
    )

    case = "monitor/alert-delivered::delivered_and_resolved"
    make.begin(case, needs=("fault",))
    make.end(
        case,
        "error",
        30.1,
        "setup: TargetError: Alertmanager did not answer on /-/ready within 30 s\n"
        "  next: see logs/alerts.log",
    )


def _skipping(make: Maker) -> None:
    for known in _DATA["skipped"]:
        make.begin(known["case"])
        make.end(known["case"], "skip", 0.0, known["why"])


def passing_run(directory: Path, **latency: Any) -> Path:
    """A small run in which every case passes."""
    make = Maker(directory)
    make.start(profile="ci")
    make.guide()
    make.components()
    slo(make, **latency)
    make.passing("isolation/query::filter_cannot_widen", "no foreign chunk", expected=0, actual=0)
    make.finish()
    make.history.close()
    return directory
