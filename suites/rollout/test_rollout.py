"""rollout/*: the roll-out script replaces a gateway that people are using, and puts it back."""

from __future__ import annotations

import signal
import time

import pytest

from fixtures.counting import FRESH, KEPT, Counting
from fixtures.rollouts import OTHER, READ_ONLY, READS, WRITES, Rollout
from fixtures.scripts import Ran
from harness import conformance, needs
from harness.core.evidence import Evidence

NEVER_STARTS = "GATEWAY_TIMEOUT_S=never"
NEVER_READY = "GATEWAY_VECTORDB_URL=http://127.0.0.1:9"
READY_BUT_WRONG = "GATEWAY_JWT_AUDIENCE=somebody-else"
"""It says that it is ready and answers no query: /healthz and /readyz alone do not see it."""

ROLES = ["gateway", "edge", "vectordb", "auth"]


def nothing_failed(evidence: Evidence, what: str, told: Counting) -> None:
    """Require that every request was answered with the document, over kept and fresh connections
    alike, and record how many there were."""
    answers = told.told()
    for kind in (KEPT, FRESH):
        count = sum(answer.connection == kind for answer in answers)
        evidence.measure(f"{what}: requests over {kind} connections", count, "requests")
    wrong = told.wrong()
    evidence.require(
        f"{what}: no request failed",
        not wrong and len(answers) > 0,
        expected=f"{len(answers)} answers with the document",
        actual=f"{len(wrong)} without: {'; '.join(wrong[:5])}" if wrong else told.counts(),
    )


def ended(evidence: Evidence, what: str, ran: Ran, code: int = 0) -> None:
    """Require that a script ended as it must."""
    evidence.require(
        what, ran.exit_code == code, expected=f"exit code {code}", actual=ran.told, log=ran.log[-3:]
    )


def steps(ran: Ran, state: str = "done") -> list[str]:
    """Return the steps that the script says it has done, in order."""
    return [e["step"] for e in ran.log if e.get("event") == "step" and e.get("state") == state]


@conformance("rollout/blue-green", since="0.2")
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(300)
def test_a_new_gateway_goes_live_with_no_failed_request(
    rollout: Rollout, evidence: Evidence
) -> None:
    """While customers ask over reused and over fresh connections, the roll-out script MUST put
    another gateway into their service with no failed request, and end the one before it."""
    old, kind = rollout.serving()
    new = OTHER[old]
    told = rollout.counting()
    with told.asking():
        ran = rollout.out(READ_ONLY)
        live = {kind: told.wait(kind, colour=new) for kind in (KEPT, FRESH)}
    nothing_failed(evidence, "roll-out", told)
    ended(evidence, "the roll-out ends well", ran)
    evidence.require(
        "the new gateway serves reused and fresh connections",
        all(live.values()) and rollout.serving() == (new, READS) and kind == WRITES,
        expected=(new, READS),
        actual=(rollout.serving(), told.counts()),
    )
    evidence.require(
        "customers were served by the old one until then, over both kinds of connection",
        {f"{kind} {old}" for kind in (KEPT, FRESH)} <= set(told.counts()),
        expected=f"answers of {old} too",
        actual=told.counts(),
    )
    evidence.require(
        "the new gateway was proven before the switch, and the old one drained before its end",
        steps(ran) == ["look", "start", "gate", "switch", "watch", "drain", "stop"],
        expected="look, start, gate, switch, watch, drain, stop",
        actual=steps(ran),
    )
    evidence.require(
        "the old gateway is gone", not rollout.up(old), expected=f"{old} down", actual="it answers"
    )
    again = rollout.out(READ_ONLY)
    ended(evidence, "the same roll-out once more ends well", again)
    evidence.require(
        "and changes nothing",
        "start" not in steps(again) and rollout.serving() == (new, READS),
        expected=f"{new} serves, and nothing was started",
        actual=(rollout.serving(), steps(again)),
    )


def refused(rollout: Rollout, evidence: Evidence, release: str, *more: str) -> tuple[Ran, bool]:
    """Roll a bad release out while customers ask, and require that they never notice.

    Returns how the script ended, and whether the new gateway was seen to answer when it was asked
    itself.
    """
    old, kind = rollout.serving()
    new = OTHER[old]
    sent = rollout.sent_by_the_edge(new)
    told, seen = rollout.counting(), False
    with told.asking():
        running = rollout.begin("--release", release, "--current-release", rollout.before, *more)
        while running.is_running():
            seen = seen or rollout.up(new)
            time.sleep(0.05)
        ran = running.finish()
        went_on = told.wait(FRESH, colour=old)
    nothing_failed(evidence, "refused roll-out", told)
    ended(evidence, "the roll-out is refused", ran, 1)
    strangers = sum(answer.colour != old for answer in told.told())
    evidence.require(
        "no customer was answered by the new gateway",
        strangers == 0 and went_on,
        expected=f"every answer from {old}",
        actual=told.counts(),
    )
    evidence.require(
        "by the edge's own log it was sent nothing",
        rollout.sent_by_the_edge(new) == sent,
        expected=f"{sent} requests for {new}, as before",
        actual=rollout.sent_by_the_edge(new),
    )
    evidence.require(
        "the old gateway serves on, and the new one is gone",
        rollout.serving() == (old, kind) and not rollout.up(new),
        expected=(old, kind),
        actual=(rollout.serving(), "up" if rollout.up(new) else "down"),
    )
    return ran, seen


@conformance("rollout/health-gate", since="0.2")
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(300)
def test_a_gateway_that_answers_no_query_gets_no_request(
    rollout: Rollout, evidence: Evidence
) -> None:
    """A new gateway that says it is ready and answers no query MUST never get a customer's request:
    the roll-out ends as refused, and the old one serves on."""
    ran, _ = refused(rollout, evidence, READY_BUT_WRONG)
    # It is there for a moment only: what it answered the script is the proof that it was.
    evidence.require(
        "the new gateway was up and ready, and was found out by a query",
        "401" in ran.stderr,
        expected="a real query that it refuses",
        actual=ran.told,
    )


@conformance("rollout/health-gate", since="0.2")
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(300)
def test_a_gateway_that_does_not_start_gets_no_request(
    rollout: Rollout, evidence: Evidence
) -> None:
    """A new gateway that does not start MUST never get a customer's request: the roll-out ends as
    refused, and the old one serves on."""
    ran, _ = refused(rollout, evidence, NEVER_STARTS, "--ready-s", "1")
    evidence.require(
        "it was told to start", "start" in steps(ran), expected="start", actual=steps(ran)
    )


@conformance("rollout/health-gate", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(300)
def test_a_gateway_that_is_never_ready_gets_no_request(
    rollout: Rollout, evidence: Evidence
) -> None:
    """A new gateway that answers, and is not ready because what is behind it is not, MUST never get
    a customer's request: the roll-out ends as refused, and the old one serves on."""
    ran, seen = refused(rollout, evidence, NEVER_READY, "--ready-s", "30")
    evidence.require(
        "the new gateway was up, and said that it is not ready",
        seen and "503" in ran.stderr and "/readyz to answer 200" in ran.stderr,
        expected="503 from /readyz",
        actual=ran.told,
    )


@conformance("rollout/rollback", since="0.2")
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(300)
def test_the_roll_back_brings_the_old_gateway_back_with_no_failed_request(
    rollout: Rollout, evidence: Evidence
) -> None:
    """While customers ask, --rollback MUST put the former gateway with its former settings back
    into their service, with no failed request, and once more changes nothing."""
    before = rollout.serving()
    told = rollout.counting()
    with told.asking():
        forth = rollout.out(READ_ONLY, "--keep-old")
        rolled = rollout.serving()
        back = rollout.script("--rollback")
        live = {kind: told.wait(kind, colour=before[0]) for kind in (KEPT, FRESH)}
    ended(evidence, "the roll-out ends well", forth)
    evidence.require(
        "there was something to roll back",
        rolled == (OTHER[before[0]], READS) and before[1] == WRITES,
        expected=(OTHER[before[0]], READS),
        actual=rolled,
    )
    ended(evidence, "the roll-back ends well", back)
    nothing_failed(evidence, "roll-out and back", told)
    evidence.require(
        "the former gateway serves with its former settings",
        rollout.serving() == before and all(live.values()),
        expected=before,
        actual=rollout.serving(),
    )
    evidence.require(
        "the gateway that was taken back is gone",
        not rollout.up(OTHER[before[0]]),
        expected=f"{OTHER[before[0]]} down",
        actual="it answers",
    )
    again = rollout.script("--rollback")
    ended(evidence, "once more ends well", again)
    evidence.require(
        "and does not roll what was taken back out again",
        rollout.serving() == before and "switch" not in steps(again),
        expected=before,
        actual=(rollout.serving(), steps(again)),
    )


KILLED = (
    ("start", "started"),
    ("gate", "started"),
    ("gate", "done"),
    ("switch", "started"),
    ("switch", "done"),
    ("watch", "done"),
    ("drain", "started"),
    ("stop", "started"),
)
"""Moments at which whoever rolls out may be killed: before, during and after the switch."""


@conformance("rollout/blue-green", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(900)
def test_a_roll_out_that_is_killed_at_any_step_goes_on_when_it_is_run_again(
    rollout: Rollout, evidence: Evidence
) -> None:
    """Whenever the script is killed, customers MUST be served on, and another run MUST bring the
    roll-out to its end, with no failed request."""
    release, other = READ_ONLY, rollout.before
    told = rollout.counting()
    with told.asking():
        for step, state in KILLED:
            old, _ = rollout.serving()
            running = rollout.begin("--release", release, "--current-release", other)
            running.wait_for_event("step", 120.0, step=step, state=state)
            running.kill(signal.SIGKILL)
            running.finish()
            ran = rollout.out(release)
            kind = READS if release == READ_ONLY else WRITES
            ended(evidence, f"killed at {step} {state}: another run ends well", ran)
            evidence.require(
                f"killed at {step} {state}: another run ends with the new gateway alone",
                rollout.serving() == (OTHER[old], kind) and not rollout.up(old),
                expected=(OTHER[old], kind),
                actual=(rollout.serving(), f"{old} is {'up' if rollout.up(old) else 'down'}"),
            )
            release, other = other, release
    nothing_failed(evidence, f"{len(KILLED)} killed roll-outs", told)


@conformance("rollout/rollback", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=ROLES, features=["native-api"])
@pytest.mark.timeout(900)
def test_a_roll_out_that_is_killed_at_any_step_can_be_taken_back(
    rollout: Rollout, evidence: Evidence
) -> None:
    """Whenever the script is killed, --rollback MUST bring the gateway back that served before,
    with its settings and no failed request."""
    before = rollout.serving()
    told = rollout.counting()
    with told.asking():
        for step, state in KILLED:
            running = rollout.begin("--release", READ_ONLY, "--current-release", rollout.before)
            running.wait_for_event("step", 120.0, step=step, state=state)
            running.kill(signal.SIGKILL)
            running.finish()
            ran = rollout.script("--rollback")
            ended(evidence, f"killed at {step} {state}: the roll-back ends well", ran)
            evidence.require(
                f"killed at {step} {state}: the former settings are back",
                rollout.serving()[1] == before[1] == WRITES,
                expected=before[1],
                actual=rollout.serving(),
            )
    nothing_failed(evidence, f"{len(KILLED)} killed roll-outs taken back", told)
