"""playbook/latency: each step is called for by its own fault alone, and has its effect there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chaos.playbooks import Seen
from chaos.playbooks.latency import LATENCY
from fixtures.corpus import Corpus
from fixtures.crowd import Crowd
from fixtures.faults import Inject
from fixtures.tenants import Connect
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import ProcessIds, Stack

ASKERS = 2
PACE_S = 0.08
"""Two customers who pause so long ask about twenty questions a second, as the reference load does:
what a step looks at are means and shares, so nobody has to keep to a schedule here."""

ROLES = ["edge", "embed", "fallback", "vectordb", "metadata", "auth", "faultproxy"]
TOUCHED = ("gateway", "vectordb", "embed")


@pytest.fixture
def crowd(corpus: Corpus, tokens: Mapping[str, str], connect: Connect) -> Crowd:
    """Customers who ask the corpus's questions, each in its own namespace."""

    def asker(number: int) -> Callable[[], bool]:
        gateways = {name: connect(token) for name, token in tokens.items()}
        turn = itertools.cycle(corpus.questions[number::ASKERS])

        def ask() -> bool:
            question = next(turn)
            return gateways[question.tenant].query(question.text, question.persona).status == 200

        return ask

    return Crowd([asker(number) for number in range(ASKERS)], PACE_S)


def look(stack: Stack) -> dict[str, Seen]:
    """Check the conditions of all steps during the same window, as if each came first."""
    with ThreadPoolExecutor(len(LATENCY.steps)) as threads:
        looks = {step.slug: threads.submit(step.condition, stack) for step in LATENCY.steps}
        return {slug: seen.result() for slug, seen in looks.items()}


def require_called_for(
    evidence: Evidence, when: str, seen: Mapping[str, Seen], only: str | None
) -> None:
    """Require that the conditions call for the step ``only``, or for none, and for no other."""
    for slug, each in seen.items():
        wanted = slug == only
        evidence.require(
            f"{when}, the step {slug} is {'' if wanted else 'not '}called for",
            each.ok is wanted,
            expected=f"its condition {'holds' if wanted else 'does not hold'}",
            actual=each.detail,
        )


def prove_step(
    stack: Stack,
    faults: Inject,
    crowd: Crowd,
    evidence: Evidence,
    slug: str,
    fault: str,
    **arguments: Any,
) -> None:
    """Require that under this fault the step alone is called for and has its effect, with the
    fault on."""
    step = LATENCY.step(slug)
    with crowd.asking():
        with faults(fault, **arguments):
            require_called_for(evidence, f"under {fault}", look(stack), slug)
            try:
                step.action(stack)
                effect = step.effect(stack)
            finally:
                step.undo(stack)
        evidence.require(
            f"under {fault}, the step {slug} has the effect that it promises",
            effect.ok,
            expected=step.expect,
            actual=effect.detail,
        )


@conformance("playbook/latency", since="0.2")
@needs("read", "write", "fault", "restart", roles=ROLES)
def test_no_step_is_called_for_where_none_helps(
    stack: Stack, faults: Inject, crowd: Crowd, evidence: Evidence
) -> None:
    """On a sound stack, and when what is slow is the metadata store, each step of the latency
    playbook MUST say that its condition does not hold, and nothing is touched by looking."""
    assert isinstance(stack, ProcessIds)
    before = {role: stack.pids(role) for role in TOUCHED}
    with crowd.asking():
        require_called_for(evidence, "on a sound stack", look(stack), None)
        with faults("latency", link="gateway-metadata", latency_ms=150):
            require_called_for(evidence, "under a slow metadata store", look(stack), None)
    after = {role: stack.pids(role) for role in TOUCHED}
    evidence.require(
        "looking at the conditions restarted and replaced nothing",
        after == before,
        expected=before,
        actual=after,
    )


@conformance("playbook/latency", since="0.2")
@needs("read", "write", "fault", "restart", roles=ROLES)
def test_ingest_step_relieves_flooded_embedding(
    stack: Stack, faults: Inject, crowd: Crowd, evidence: Evidence
) -> None:
    """When loaders flood the embedding worker, scaling ingest down MUST be the one step that is
    called for, and it MUST empty the worker while the loaders still ask."""
    prove_step(stack, faults, crowd, evidence, "ingest-down", "bulk-ingest")


@conformance("playbook/latency", since="0.2")
@needs("read", "write", "fault", "restart", roles=ROLES)
def test_restart_step_relieves_busy_vector_store(
    stack: Stack, faults: Inject, crowd: Crowd, evidence: Evidence
) -> None:
    """When a batch job keeps the vector store's processor busy, its restart MUST be the one step
    that is called for, and it MUST leave the store below 80 % of a processor."""
    prove_step(stack, faults, crowd, evidence, "vectordb-restart", "heavy-queries")


@conformance("playbook/latency", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
def test_fallback_step_relieves_slow_embedding(
    stack: Stack, faults: Inject, crowd: Crowd, evidence: Evidence
) -> None:
    """When the embedding worker is slow, the fallback MUST be the one step that is called for, and
    it MUST embed in less than 100 ms while the worker is still slow."""
    prove_step(
        stack,
        faults,
        crowd,
        evidence,
        "embed-fallback",
        "latency",
        link="gateway-embed",
        latency_ms=300,
    )
