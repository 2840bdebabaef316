"""playbook/leakage: from the audit to the last leaked point, with a report that tells the truth."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.playbooks.leakage import LEAKAGE, report, report_directory
from fixtures.alerts import AlertWatch
from fixtures.leaks import LeakField, found_by
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.core.errors import NotAllowed, TargetError
from harness.core.events import PlaybookStep, ScenarioPhase
from harness.core.evidence import Evidence, Inconclusive
from harness.core.history import History
from harness.drivers.base import Stack, Volume

ALERT, ALERT_S = "RAG_Leakage_Found", 60.0
LEAKS = 40
HOLD_S = 3.0
"""So long the leak is left alone: longer than the purge takes, in which nothing else may end it."""


@pytest.fixture
def place(stack: Stack) -> Iterator[Path]:
    """Where the playbook's audits lie; empty before, and gone afterwards."""
    directory = report_directory(stack)
    shutil.rmtree(directory, ignore_errors=True)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


class Walk:
    """Walks the playbook as an operator does, and keeps what was done in the history."""

    def __init__(self, stack: Stack, history: History, evidence: Evidence) -> None:
        self._stack, self._history, self._evidence = stack, history, evidence

    def phase(self, name: str, note: str = "") -> None:
        self._history.write(ScenarioPhase(self._evidence.case, "treated", name, note))

    def called_for(self, slug: str) -> bool:
        """Look at a step's condition."""
        seen = LEAKAGE.step(slug).condition(self._stack)
        self._tell(slug, "condition", seen.ok, **seen.detail)
        return seen.ok

    def take(self, slug: str) -> bool:
        """Take a step; whether its effect came."""
        step = LEAKAGE.step(slug)
        try:
            step.action(self._stack)
        except TargetError as error:
            self._tell(slug, "action", False, problem=str(error))
            self._evidence.require(
                f"the step {slug} runs to its end",
                False,
                expected="an end as its sentence says",
                actual=str(error),
            )
        self._tell(slug, "action", True)
        seen = step.effect(self._stack)
        self._tell(slug, "effect", seen.ok, **seen.detail)
        return seen.ok

    def _tell(self, slug: str, stage: str, ok: bool, **detail: object) -> None:
        case = self._evidence.case
        self._history.write(
            PlaybookStep(LEAKAGE.slug, slug, stage, ok, dict(detail), case=case, arm="treated")
        )


@pytest.fixture
def walk(stack: Stack, history: History, evidence: Evidence) -> Walk:
    """The playbook, step by step."""
    return Walk(stack, history, evidence)


@conformance("playbook/leakage", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "metadata"])
def test_the_leak_is_found_purged_and_reported_as_it_was(
    walk: Walk, place: Path, leak_field: LeakField, stack: Stack, evidence: Evidence
) -> None:
    """The leakage playbook MUST end with no leaked vector and every other one as it was, its report
    MUST name what leaked and what went, and the leak MUST NOT end without it."""
    walk.phase("fault", f"{LEAKS} points are written where they do not belong")
    planted = set(leak_field.plant(LEAKS))
    rest = leak_field.digest(without=sorted(planted, key=str))
    time.sleep(HOLD_S)
    left = planted & leak_field.ids()
    if left != planted:
        raise Inconclusive(
            "The leak healed by itself, so the steps are unproven.",
            expected=f"all {LEAKS} leaked points after {HOLD_S:.0f} s",
            actual=f"{len(left)}",
        )
    walk.phase("playbook", "audit")
    evidence.require(
        "the audit can be done, and is", walk.called_for("audit") and walk.take("audit")
    )
    found = set(found_by(place))
    evidence.require(
        "the report names every leaked point, and no other of this collection",
        planted == found & (planted | leak_field.ids()),
        expected=f"{LEAKS} points",
        actual=f"{len(found & planted)} of them, {len(found - planted)} others",
    )
    evidence.require("its leaks call for the purge", walk.called_for("purge"))
    walk.phase("playbook", "purge")
    ended = walk.take("purge")
    walk.phase("recovery")
    there = leak_field.ids()
    evidence.require(
        "no leaked vector is left, by a look past the scripts",
        not there & planted,
        expected="none",
        actual=f"{len(there & planted)} of {LEAKS}",
    )
    kept = leak_field.digest()
    evidence.require(
        "every other vector is as it was",
        (kept.count, kept.total) == (rest.count, rest.total),
        expected=f"{rest.count} points, {rest.total[:16]}",
        actual=f"{kept.count} points, {kept.total[:16]}",
    )
    evidence.require(
        "the step says that it worked, and it did",
        ended and (report(stack) or {}).get("leaks") == 0,
        expected="an audit afterwards that finds nothing",
        actual=report(stack),
    )
    judge_record(evidence, place, planted)
    walk.phase("end")


def judge_record(evidence: Evidence, place: Path, planted: set[int | str]) -> None:
    """Require that the record of the purge names the very points that went."""
    lines = (place / "removed.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    removed = {each.get("point_id", each.get("id")) for each in told}
    evidence.require(
        "the record holds each point that went",
        planted <= removed,
        expected=f"the {len(planted)} leaked points",
        actual=f"{len(planted & removed)} of them in {len(removed)} lines",
    )
    figures = json.loads((place / "purge.json").read_text(encoding="utf-8"))
    count = sum(figures["removed"].values())
    evidence.require(
        "the record's figures are those of its lines",
        count == len(removed) and figures["leaks_afterwards"] == 0,
        expected={"removed": len(removed), "leaks_afterwards": 0},
        actual={"removed": count, "leaks_afterwards": figures["leaks_afterwards"]},
    )


@conformance("playbook/leakage", since="0.2")
@needs("read", "write", "destroy", roles=["vectordb", "metadata"])
def test_without_a_leak_nothing_is_purged(
    walk: Walk, place: Path, leak_field: LeakField, evidence: Evidence
) -> None:
    """Where nothing leaked, the audit MUST say so and the playbook MUST NOT call for a purge."""
    before = leak_field.digest()
    evidence.require("before an audit nothing calls for a purge", not walk.called_for("purge"))
    evidence.require("the audit is done", walk.called_for("audit") and walk.take("audit"))
    mine = set(found_by(place)) & leak_field.ids()
    evidence.require(
        "no sound point is called a leak", not mine, expected="none", actual=sorted(map(str, mine))
    )
    if not found_by(place):
        evidence.require("nothing calls for a purge", not walk.called_for("purge"))
    after = leak_field.digest()
    evidence.require(
        "the points are as they were",
        (after.count, after.total) == (before.count, before.total),
        expected=f"{before.count} points",
        actual=f"{after.count} points",
    )


@conformance("playbook/leakage", since="0.2", profiles=("full",))
@needs(
    *("read", "write", "destroy"),
    roles=["vectordb", "metadata", "metrics", "alerts", "pager", "exporter"],
)
@pytest.mark.timeout(600)
def test_the_alert_of_a_leak_ends_with_the_purge(
    walk: Walk,
    place: Path,
    leak_field: LeakField,
    stack: Stack,
    run_script: RunScript,
    watch_alert: Callable[..., AlertWatch],
    evidence: Evidence,
) -> None:
    """When the nightly audit finds a leak, the alert MUST be delivered, MUST stay while audits find
    it again, and MUST be resolved by the first audit after the purge."""
    if not isinstance(stack, Volume):
        raise NotAllowed("The target gives no way to leave an audit's report for the exporter.")
    nightly = stack.volume("exporter") / "audit"
    watch = watch_alert(ALERT, case=evidence.case, arm="treated")
    if watch.wait_for("inactive", ALERT_S) is None:
        raise Inconclusive(f"{ALERT} was not silent before the leak.", actual=watch.state)

    def audit() -> int:
        ran = run_script("leakage_audit.py", "--out", str(nightly), timeout_s=300)
        evidence.require(
            "the nightly audit is done",
            ran.exit_code in (0, 1),
            expected="exit code 0 (clean) or 1 (leaks)",
            actual=ran.told,
        )
        return ran.exit_code

    before = (nightly / "report.json").read_text() if (nightly / "report.json").exists() else ""
    try:
        walk.phase("fault", f"{LEAKS} points are written where they do not belong")
        leak_field.plant(LEAKS)
        audit()
        evidence.require(
            "the alert is delivered",
            watch.wait_for("delivered", ALERT_S) is not None,
            expected=f"{ALERT} at its receiver within {ALERT_S:.0f} s",
            actual=f"{watch.state} {watch.problem}",
        )
        audit()
        time.sleep(HOLD_S)
        evidence.require(
            "without the purge another audit leaves it firing",
            watch.state == "firing" and "resolved" not in watch.first,
            expected="firing",
            actual=watch.state,
        )
        for slug in ("audit", "purge"):
            walk.phase("playbook", slug)
            evidence.require(
                f"the step {slug} is called for, and has its effect",
                walk.called_for(slug) and walk.take(slug),
            )
        walk.phase("recovery")
        clean = audit() == 0
        evidence.require(
            "the first audit after the purge resolves the alert at its receiver",
            watch.wait_for("resolved", ALERT_S) is not None and clean,
            expected=f"a resolved notice within {ALERT_S:.0f} s",
            actual=f"{watch.state}, audit {'clean' if clean else 'with leaks'}",
        )
    finally:
        (nightly / "report.json").write_text(before or json.dumps({"leaks": 0}))
        walk.phase("end")
