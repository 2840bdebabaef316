"""Faults of demand: too much is asked of a sound stack, and that is seen where it is asked."""

from __future__ import annotations

import pytest
from fault_rounds import round_trip

from chaos.faults import companion
from chaos.faults.bulk_ingest import BulkIngest
from chaos.faults.heavy_queries import HeavyQueries
from fixtures.faults import make_fault
from harness.cli.stack_demo import prepare_demo
from harness.core.errors import UsageError
from harness.core.run import CHECKOUT
from harness.drivers.embedded.stack import EmbeddedStack

EXAMPLES: dict[str, dict[str, object]] = {
    "heavy-queries": {"seconds": 0.3},
    "bulk-ingest": {"loaders": 3, "chunks": 4},
}


@pytest.fixture(scope="module")
def stocked_stack(fault_stack: EmbeddedStack) -> EmbeddedStack:
    prepare_demo(fault_stack, CHECKOUT / "fixtures" / "data")
    return fault_stack


@pytest.mark.slow
@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_fault_of_demand_lands_and_heals(slug: str, stocked_stack: EmbeddedStack) -> None:
    round_trip(make_fault(slug, **EXAMPLES[slug]), stocked_stack)


@pytest.mark.slow
@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_fault_of_demand_that_was_never_injected_is_not_proven(
    slug: str, stocked_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **EXAMPLES[slug])
    assert not fault.prove(stocked_stack, fault.before(stocked_stack)).ok


@pytest.mark.slow
def test_the_batch_job_does_not_outlive_a_restart_of_the_store(
    stocked_stack: EmbeddedStack,
) -> None:
    fault = HeavyQueries(seconds=0.3)
    before = fault.before(stocked_stack)
    try:
        fault.inject(stocked_stack)
        stocked_stack.restart("vectordb")
        assert not fault.prove(stocked_stack, before).ok
    finally:
        fault.heal(stocked_stack)


@pytest.mark.slow
def test_loaders_whose_writes_are_refused_still_count_as_on_and_leave_nothing(
    stocked_stack: EmbeddedStack,
) -> None:
    fault = BulkIngest(loaders=2, chunks=2)
    before = fault.before(stocked_stack)
    try:
        fault.inject(stocked_stack)
        stocked_stack.replace("gateway", {"GATEWAY_MAX_WRITES": "0"})
        landed = fault.prove(stocked_stack, before)
    finally:
        fault.heal(stocked_stack)
        stocked_stack.replace("gateway", {"GATEWAY_MAX_WRITES": "64"})
    assert landed.ok, landed.seen
    assert fault.prove_healed(stocked_stack, before).ok


def test_a_companion_without_a_server_says_so_and_ends() -> None:
    settings = {"host": "127.0.0.1", "port": 1, "path": "/", "headers": {}, "seconds": 0.1}
    with pytest.raises(companion.CompanionError, match="refused"):
        companion.start("queries", "test", {**settings, "search": {}})


@pytest.mark.parametrize("seconds", [0, -1, 11, "a"])
def test_a_batch_of_a_senseless_length_is_refused(seconds: object) -> None:
    with pytest.raises(UsageError, match="seconds"):
        HeavyQueries(seconds=seconds)  # type: ignore[arg-type]
