"""One round through a fault's life, as every test of a fault on a real stack goes."""

from __future__ import annotations

from chaos.faults.base import Fault, Proof
from harness.drivers.base import Stack


def round_trip(fault: Fault, stack: Stack) -> Proof:
    """Not proven before, proven while on, healed after, and healing again is harmless."""
    fault.check_target(stack)
    before = fault.before(stack)
    try:
        fault.inject(stack)
        landed = fault.prove(stack, before)
    finally:
        fault.heal(stack)
    healed = fault.prove_healed(stack, before)
    assert landed.ok, landed.seen
    assert healed.ok, healed.seen
    fault.heal(stack)
    assert fault.prove_healed(stack, before).ok, "healing twice must be harmless"
    return landed
