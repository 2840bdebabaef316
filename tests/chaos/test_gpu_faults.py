"""Faults of a GPU land where an operator would see them, and heal; a real device is left alone."""

from __future__ import annotations

import json

import pytest
from fault_rounds import round_trip

from chaos.faults.gpu import figures
from fixtures.faults import make_fault
from harness.core.errors import NotAllowed, UsageError
from harness.drivers.base import Endpoint
from harness.drivers.embedded.stack import EmbeddedStack

EXAMPLES: dict[str, dict[str, object]] = {"gpu-device-lost": {}, "gpu-throttled": {}}
SLUGS = sorted(EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
def test_a_gpu_fault_lands_and_heals(slug: str, fault_stack: EmbeddedStack) -> None:
    landed = round_trip(make_fault(slug, **EXAMPLES[slug]), fault_stack)
    assert landed.seen["stand-in"] == "no GPU was touched"


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
def test_a_gpu_fault_that_was_never_injected_is_not_proven(
    slug: str, fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug)
    before = fault.before(fault_stack)
    assert not fault.prove(fault_stack, before).ok


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
def test_figures_alone_are_no_proof_and_neither_are_workers_alone(
    slug: str, fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug)
    before = fault.before(fault_stack)
    try:
        (fault_stack.volume("gpu") / "device.json").write_text(json.dumps(fault.device))
        assert not fault.prove(fault_stack, before).ok
    finally:
        (fault_stack.volume("gpu") / "device.json").unlink()
    try:
        for part in fault.parts:
            part.inject(fault_stack)
        assert not fault.prove(fault_stack, before).ok
    finally:
        fault.heal(fault_stack)
    assert fault.prove_healed(fault_stack, before).ok


@pytest.mark.slow
def test_the_figures_are_those_that_prometheus_scrapes(fault_stack: EmbeddedStack) -> None:
    now = figures(fault_stack)
    assert now["devices"] == 1 and now["lost"] == 0 and now["xid"] == 0
    assert {"utilization", "clock", "temperature", "throttle"} <= now.keys()


@pytest.mark.parametrize("slower_ms", [0, 19, 60_001, float("nan")])
def test_a_slowdown_out_of_range_is_refused(slower_ms: float) -> None:
    with pytest.raises(UsageError, match="20 to 60000 ms"):
        make_fault("gpu-throttled", slower_ms=slower_ms)


class WithoutGpu:
    """A target that allows everything and has no GPU."""

    name = "bare"
    allow = frozenset({"fault"})

    def roles(self) -> tuple[str, ...]:
        return ("gateway",)

    def endpoint(self, role: str) -> Endpoint:
        raise AssertionError(f"nobody may be asked, and {role} was")


@pytest.mark.parametrize("slug", SLUGS)
def test_a_target_without_a_gpu_role_is_refused(slug: str) -> None:
    with pytest.raises(NotAllowed, match="no gpu"):
        make_fault(slug).check_target(WithoutGpu())
