"""playbook/review: what is written after an incident is what happened, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fixtures.faults import Inject
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.events import ScenarioPhase
from harness.core.evidence import Evidence
from harness.core.guide import load_objectives
from harness.core.history import History
from harness.core.run import Run
from harness.drivers.gateway_http import GatewayClient
from reports.model import load
from reports.review import Review, reviews

SECTIONS = (
    "Summary",
    "Timeline (UTC)",
    "Impact",
    "Root Cause",
    "Lessons Learned",
    "Action Items",
)
"""Of the guide's template (section 10), in its order; the last line are the tags."""

FAULT, LINK = "http-status", "gateway-vectordb"
PACE_S = 0.03
WELL_S, BROKEN_S, AFTER_S = 1.5, 1.5, 4.5
CLOCK_S = 0.2
"""The review's clock has tenths of a second, and an event is written just after it happened."""


@dataclass
class Diary:
    """What the case noted by its own clock: UTC seconds before and after, and each request."""

    moments: dict[str, tuple[float, float]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, gateway: GatewayClient, tenant: str, seconds: float) -> None:
        """Ask at a steady pace for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            t, began = time.time(), time.perf_counter()
            status = gateway.query("What is kept here?", "work", rerank=False).status
            took = time.perf_counter() - began
            row = {"t": t, "seconds": took, "status": status, "ok": status == 200}
            self.rows.append(row | {"error": None, "arm": "treated", "key": f"{tenant}/work"})
            time.sleep(max(0.0, PACE_S - took))


@conformance("playbook/review", since="0.2")
@needs("read", "write", "fault", roles=["edge", "vectordb", "faultproxy"])
def test_the_review_of_an_incident_is_filled_and_true(
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    faults: Inject,
    history: History,
    run: Run,
    evidence: Evidence,
) -> None:
    """An incident MUST yield a review with summary, UTC timeline, impact, cause, lessons, actions
    and tags, whose times and numbers are those of the incident."""
    tenant = new_tenant("reviewed", ("work",))
    gateway = connect(tenant.token)
    gateway.put_document("work", "Here is kept what the review is about.").expect(201)
    diary = Diary()
    incident(diary, gateway, tenant.id, faults, history, evidence)
    evidence.require(
        "the incident could be felt",
        any(not row["ok"] for row in diary.rows),
        expected="requests that fail while the fault is on",
        actual=f"{sum(not row['ok'] for row in diary.rows)} of {len(diary.rows)} failed",
    )
    evidence.samples("requests of the incident", diary.rows, arm="treated")
    written = {review.case: review for review in reviews(load(run.directory))}
    evidence.require(
        "the incident has a review",
        evidence.case in written,
        expected=evidence.case,
        actual=sorted(written) or "none",
    )
    review = written[evidence.case]
    judge_shape(evidence, review)
    judge_times(evidence, review, diary)
    judge_impact(evidence, review, diary, tenant.id)


def incident(
    diary: Diary,
    gateway: GatewayClient,
    tenant: str,
    faults: Inject,
    history: History,
    evidence: Evidence,
) -> None:
    """Break the vector store's link for a while, as a scenario does, and note when."""

    def phase(name: str) -> None:
        before = time.time()
        history.write(ScenarioPhase(evidence.case, "treated", name))
        diary.moments[f"Phase {name}"] = (before, time.time())

    phase("steady")
    diary.ask(gateway, tenant, WELL_S)
    phase("fault")
    before = time.time()
    with faults(FAULT, link=LINK, status=500, arm="treated"):
        diary.moments["Fault on"] = (before, time.time())
        diary.ask(gateway, tenant, BROKEN_S)
        before = time.time()
    diary.moments["Fault undone"] = (before, time.time())
    phase("recovery")
    diary.ask(gateway, tenant, AFTER_S)
    phase("end")


def section(review: Review, title: str) -> str:
    """Return the text below a heading of the review."""
    return review.text.partition(f"\n### {title}\n")[2].partition("\n### ")[0].strip()


def judge_shape(evidence: Evidence, review: Review) -> None:
    """Require every section of the template, filled."""
    heads = re.findall(r"^### (.+)$", review.text, flags=re.MULTILINE)
    evidence.require(
        "the review has the template's sections in its order, and tags",
        tuple(heads[:-1]) == SECTIONS and bool(re.fullmatch(r"Tags: \S.*", heads[-1])),
        expected=[*SECTIONS, "Tags: ..."],
        actual=heads,
    )
    empty = [title for title in SECTIONS if not section(review, title)]
    evidence.require("no section is empty", not empty, expected="text in each", actual=empty)
    sentences = re.split(r"(?<=\.)\s+(?=[A-Z])", section(review, "Summary"))
    evidence.require(
        "the summary is two sentences",
        len(sentences) == 2,
        expected="two",
        actual=sentences,
    )
    cause = section(review, "Root Cause")
    evidence.require(
        "the cause names the fault and where it was",
        FAULT in cause and LINK in cause,
        expected=f"{FAULT} on {LINK}",
        actual=cause,
    )
    lessons = section(review, "Lessons Learned")
    evidence.require(
        "the lessons hold the checks that were made",
        "the incident could be felt" in lessons and "What didn’t" in lessons,
        expected="the incident could be felt",
        actual=lessons,
    )


def judge_times(evidence: Evidence, review: Review, diary: Diary) -> None:
    """Require that the timeline is in order and agrees with what the case noted itself."""
    lines = section(review, "Timeline (UTC)").splitlines()
    told = [line.removeprefix("* ").split(" – ", 1) for line in lines]
    began = min(before for before, _ in diary.moments.values())
    times = [(since(began, clock), text) for clock, text in told]
    evidence.require(
        "the timeline is in order",
        times == sorted(times, key=lambda each: each[0]),
        expected="times that do not go back",
        actual=[clock for clock, _ in told],
    )
    wrong = {}
    for what, (before, after) in diary.moments.items():
        seen = [seconds for seconds, text in times if text.startswith(what)]
        low, high = before - began - CLOCK_S, after - began + CLOCK_S
        if not any(low <= seconds <= high for seconds in seen):
            wrong[what] = {"noted": [low, high], "told": seen}
    evidence.require(
        "each time of the timeline is when it happened",
        not wrong,
        expected="within what was noted while it happened (seconds since the beginning)",
        actual=wrong or "all",
    )


def since(began: float, clock: str) -> float:
    """Return how many seconds after ``began`` (UTC) a time of day lies, or before: less than half
    a day, so that an incident may last over midnight."""
    hours, minutes, seconds = clock.split(":")
    of_day = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return (of_day - began % 86_400 + 43_200) % 86_400 - 43_200


def judge_impact(evidence: Evidence, review: Review, diary: Diary, tenant: str) -> None:
    """Require that the numbers are the case's own."""
    impact = section(review, "Impact")
    failed = sum(not row["ok"] for row in diary.rows)
    found = re.search(r"of which ([\d,]+) failed", impact)
    evidence.require(
        "the review counts the failed requests as they were",
        found is not None and int(found[1].replace(",", "")) == failed,
        expected=f"{failed} failed",
        actual=impact,
    )
    evidence.require(
        "the review names the tenant that was touched, and no other",
        f"Tenants touched: {tenant}\n" in impact,
        expected=tenant,
        actual=impact,
    )
    missing = [
        name for name in load_objectives() if f"Error budget, {name}: {failed}" not in impact
    ]
    evidence.require(
        "the review says what was spent of each error budget",
        not missing,
        expected=f"a line with {failed} bad requests for each objective",
        actual=impact,
    )
