"""HTTP faults change the answers of real services, in the share asked for, and heal."""

from __future__ import annotations

import pytest
from fault_rounds import round_trip

from chaos.faults.http_fault import plausible
from chaos.faults.toxics import ToxicControl
from fixtures.faults import make_fault
from harness.core.errors import TargetError, UsageError
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

EXAMPLES: dict[str, dict[str, object]] = {
    "http-status": {"link": "gateway-embed", "status": 500},
    "http-malformed": {"link": "gateway-rerank"},
    "http-embedding-dimension": {"link": "gateway-embed", "change": 3},
    "http-embedding-nan": {"link": "gateway-fallback"},
    "http-embedding-space": {"link": "gateway-fallback"},
    "http-rerank-permuted": {"link": "gateway-rerank"},
    "http-rerank-missing": {"link": "gateway-rerank", "missing": 2},
    "http-stale": {"link": "gateway-auth"},
    "http-duplicate": {"link": "gateway-embed"},
}

MORE: list[tuple[str, dict[str, object]]] = [
    ("http-status", {"link": "gateway-vectordb", "status": 429, "retry_after_s": 7}),
    ("http-status", {"link": "edge-blue", "status": 503, "rate": 0.3}),
    ("http-stale", {"link": "gateway-embed", "rate": 0.5}),
    ("http-duplicate", {"link": "gateway-rerank", "rate": 0.3}),
    ("http-malformed", {"link": "gateway-vectordb", "rate": 0.2}),
    ("http-embedding-dimension", {"link": "gateway-fallback", "change": -4096}),
]

ROUNDS = [*EXAMPLES.items(), *MORE]


@pytest.mark.parametrize(("slug", "arguments"), ROUNDS)
def test_an_http_fault_lands_and_heals(
    slug: str, arguments: dict[str, object], fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **arguments)
    round_trip(fault, fault_stack)
    assert ToxicControl(fault_stack).state()[fault.on]["toxics"] == []


@pytest.mark.parametrize(("slug", "arguments"), sorted(EXAMPLES.items()))
def test_an_http_fault_that_was_never_injected_is_not_proven(
    slug: str, arguments: dict[str, object], fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **arguments)
    before = fault.before(fault_stack)
    assert not fault.prove(fault_stack, before).ok
    fault.heal(fault_stack)
    assert fault.prove_healed(fault_stack, before).ok


def test_a_fault_at_another_rate_than_asked_for_is_not_proven(fault_stack: EmbeddedStack) -> None:
    rare = make_fault("http-status", link="gateway-embed", rate=0.05)
    often = make_fault("http-status", link="gateway-embed", rate=0.9)
    before = rare.before(fault_stack)
    try:
        often.inject(fault_stack)
        assert often.prove(fault_stack, before).ok
        assert not rare.prove(fault_stack, before).ok
    finally:
        often.heal(fault_stack)


def test_another_status_than_asked_for_is_not_proven(fault_stack: EmbeddedStack) -> None:
    asked = make_fault("http-status", link="gateway-embed", status=429, retry_after_s=5)
    other = make_fault("http-status", link="gateway-embed", status=429)
    before = asked.before(fault_stack)
    try:
        other.inject(fault_stack)
        assert not asked.prove(fault_stack, before).ok
    finally:
        other.heal(fault_stack)


def test_what_the_answers_cannot_show_is_not_proven(fault_stack: EmbeddedStack) -> None:
    """Prometheus does not return the request id by which a stale answer is told."""
    stale = make_fault("http-stale", link="metrics-alerts")
    before = stale.before(fault_stack)
    try:
        stale.inject(fault_stack)
        assert not stale.prove(fault_stack, before).ok
    finally:
        stale.heal(fault_stack)


@pytest.mark.parametrize(
    ("hits", "of", "rate", "fits"),
    [
        (3, 3, 1, True),
        (2, 3, 1, False),
        (0, 0, 1, False),
        (0, 300, 0.05, False),
        (15, 300, 0.05, True),
        (60, 300, 0.05, False),
        (10, 300, 0.1, True),
        (3, 300, 0.1, False),
        (20, 20, 0.3, False),
    ],
)
def test_a_count_fits_a_rate_or_not(hits: int, of: int, rate: float, fits: bool) -> None:
    assert plausible(hits, of, rate) is fits


@pytest.mark.parametrize(
    ("slug", "arguments", "told"),
    [
        ("http-status", {"link": "gateway-embed", "status": 200}, "400 to 599"),
        ("http-status", {"link": "gateway-embed", "rate": 0.01}, "0.05 to 1"),
        ("http-status", {"link": "gateway-embed", "retry_after_s": -1}, "0 to 86400 s"),
        ("http-status", {"link": "gateway-metadata"}, "carries HTTP"),
        ("http-malformed", {"link": "auth-metadata"}, "carries HTTP"),
        ("http-embedding-nan", {"link": "gateway-rerank"}, "a link to embed or a link to fallback"),
        ("http-embedding-dimension", {"link": "gateway-embed", "change": 0}, "not 0"),
        ("http-rerank-missing", {"link": "gateway-embed"}, "a link to rerank"),
        ("http-rerank-missing", {"link": "gateway-rerank", "missing": 0}, "1 to 1000 scores"),
    ],
)
def test_bad_arguments_of_http_faults_are_refused(
    slug: str, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_fault(slug, **arguments)
    assert told in str(caught.value)


def test_a_fault_proxy_without_the_extension_says_so(
    fault_stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Toxiproxy itself would."""
    fault = make_fault("http-status", link="gateway-embed")
    monkeypatch.setattr(type(fault), "toxic", "http_unheard_of")
    with pytest.raises(TargetError, match="invalid toxic type"):
        fault.inject(fault_stack)
