"""Faults of links land on real links of the stack, PostgreSQL's too, and heal."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from fault_rounds import round_trip

from chaos.faults.down import Down
from chaos.faults.flapping import Flapping
from chaos.faults.toxics import ToxicControl, link_of
from fixtures.faults import make_fault
from harness.core.errors import NotAllowed, UsageError
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

EXAMPLES: dict[str, dict[str, object]] = {
    "slow-close": {"link": "gateway-embed", "delay_ms": 500},
    "truncate": {"link": "gateway-embed", "passed_bytes": 20},
    "slicer": {"link": "gateway-embed", "size_bytes": 20, "variation_bytes": 4},
    "flapping": {"link": "gateway-embed", "down_ms": 300, "up_ms": 300},
}

ON_POSTGRESQL: dict[str, dict[str, object]] = {
    "latency": {"latency_ms": 300, "jitter_ms": 30},
    "bandwidth": {"rate_kb_s": 500},
    "black-hole": {},
    "reset": {},
    "down": {},
    "slow-close": {"delay_ms": 500},
    "truncate": {"passed_bytes": 0},
    "slicer": {"size_bytes": 10},
    "flapping": {"down_ms": 300, "up_ms": 300},
}

ROUNDS = [(slug, dict(arguments)) for slug, arguments in EXAMPLES.items()] + [
    (slug, {"link": "gateway-metadata", **arguments}) for slug, arguments in ON_POSTGRESQL.items()
]
NAMES = [f"{slug}-{arguments['link']}" for slug, arguments in ROUNDS]


@pytest.mark.parametrize(("slug", "arguments"), ROUNDS, ids=NAMES)
def test_a_link_fault_lands_and_heals(
    slug: str, arguments: dict[str, object], fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **arguments)
    round_trip(fault, fault_stack)
    assert ToxicControl(fault_stack).state()[fault.on]["toxics"] == []


# A link that does not flap has to be watched for seconds: once is enough.
@pytest.mark.parametrize(("slug", "arguments"), ROUNDS[:-1], ids=NAMES[:-1])
def test_a_link_fault_that_was_never_injected_is_not_proven(
    slug: str, arguments: dict[str, object], fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **arguments)
    before = fault.before(fault_stack)
    assert not fault.prove(fault_stack, before).ok


@pytest.mark.parametrize(("slug", "arguments"), ROUNDS, ids=NAMES)
def test_healing_what_never_was_is_harmless(
    slug: str, arguments: dict[str, object], fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **arguments)
    before = fault.before(fault_stack)
    fault.heal(fault_stack)
    assert fault.prove_healed(fault_stack, before).ok


def test_an_answer_too_short_to_be_cut_proves_nothing(fault_stack: EmbeddedStack) -> None:
    fault = make_fault("truncate", link="gateway-embed", passed_bytes=1_000_000)
    before = fault.before(fault_stack)
    try:
        fault.inject(fault_stack)
        assert not fault.prove(fault_stack, before).ok
    finally:
        fault.heal(fault_stack)


def test_a_limited_rate_is_proven_by_many_answers_where_one_is_too_short(
    fault_stack: EmbeddedStack,
) -> None:
    landed = round_trip(make_fault("bandwidth", link="gateway-embed", rate_kb_s=100), fault_stack)
    assert landed.seen["before"]["asks"] > 1


def test_a_very_slow_link_to_postgresql_is_proven_too(fault_stack: EmbeddedStack) -> None:
    """The log-in alone takes a second there."""
    round_trip(make_fault("bandwidth", link="gateway-metadata", rate_kb_s=1), fault_stack)


def test_flapping_is_ended_by_a_heal_that_knows_nothing_of_the_schedule(
    fault_stack: EmbeddedStack,
) -> None:
    """As the watchdog's: another process, which finds only what the fault proxy holds."""
    fault = Flapping("gateway-embed", 60, 60)
    before = fault.before(fault_stack)
    fault.inject(fault_stack)
    try:
        control = ToxicControl(fault_stack)
        control.remove("gateway-embed", "ragdrill-flapping")
        control.enable("gateway-embed", True)
        # The schedule may be between two calls: it notices before it makes a third.
        deadline = time.monotonic() + 20
        while not fault.prove_healed(fault_stack, before).ok and time.monotonic() < deadline:
            time.sleep(0.1)
        proofs = [fault.prove_healed(fault_stack, before) for _ in range(5)]
        assert all(proof.ok for proof in proofs), proofs
    finally:
        fault.heal(fault_stack)


def test_a_link_whose_port_was_taken_meanwhile_heals_once_it_is_free(
    fault_stack: EmbeddedStack,
) -> None:
    """An outgoing connection of anybody may be given the port while nobody listens on it."""
    fault = Down("gateway-embed")
    before = fault.before(fault_stack)
    link = link_of(fault_stack, fault.link)
    fault.inject(fault_stack)
    try:
        thief = socket.create_server((link.host, link.port))
        leaves = threading.Timer(0.5, thief.close)
        leaves.start()
    finally:
        fault.heal(fault_stack)
        leaves.join()
    assert fault.prove_healed(fault_stack, before).ok


def test_a_second_schedule_takes_the_place_of_the_first(fault_stack: EmbeddedStack) -> None:
    fault = Flapping("gateway-embed", 60, 60)
    before = fault.before(fault_stack)
    try:
        fault.inject(fault_stack)
        fault.heal(fault_stack)
        fault.inject(fault_stack)
        assert fault.prove(fault_stack, before).ok
    finally:
        fault.heal(fault_stack)
    assert fault.prove_healed(fault_stack, before).ok


@pytest.mark.parametrize(
    ("slug", "arguments", "told"),
    [
        ("slow-close", {"delay_ms": 5}, "20 to 60000 ms"),
        ("truncate", {"passed_bytes": -1}, "0 to 1000000000 bytes"),
        ("slicer", {"size_bytes": 0}, "1 to 32768 bytes"),
        ("slicer", {"size_bytes": 10, "variation_bytes": 10}, "0 to 9 bytes"),
        ("slicer", {"size_bytes": 10, "delay_us": 10}, "5000 to 10000000 µs"),
        ("flapping", {"down_ms": 1, "up_ms": 100}, "50 to 60000 ms"),
        ("flapping", {"down_ms": 100, "up_ms": True}, "50 to 60000 ms"),
    ],
)
def test_bad_arguments_of_link_faults_are_refused(
    slug: str, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_fault(slug, link="gateway-embed", **arguments)
    assert told in str(caught.value)


def test_a_link_that_the_target_does_not_have_is_refused_beforehand(
    fault_stack: EmbeddedStack,
) -> None:
    fault = make_fault("down", link="gateway-nowhere")
    with pytest.raises(NotAllowed, match=r"(?s)no link gateway-nowhere.*gateway-vectordb"):
        fault.check_target(fault_stack)
