"""Faults with a deliberate bug in them, each caught by the check that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import link_fault_checks as checks
import pytest

from chaos.faults.bandwidth import Bandwidth
from chaos.faults.base import FAULTS, Fault, Proof
from chaos.faults.black_hole import BlackHole
from chaos.faults.down import Down
from chaos.faults.flapping import Flapping
from chaos.faults.http_duplicate import HttpDuplicate
from chaos.faults.http_embedding_dimension import HttpEmbeddingDimension
from chaos.faults.http_fault import HttpFault
from chaos.faults.http_stale import HttpStale
from chaos.faults.http_status import HttpStatus
from chaos.faults.latency import Latency
from chaos.faults.link_fault import LinkFault
from chaos.faults.slicer import Slicer
from chaos.faults.toxics import ToxicControl
from chaos.faults.truncate import Truncate
from harness.drivers.base import Stack
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

EMBED = "gateway-embed"


class InertLatency(Latency):
    @property
    def attributes(self) -> dict[str, Any]:
        return {"latency": 0, "jitter": 0}


class LatencyInTheWrongUnit(Latency):
    @property
    def attributes(self) -> dict[str, Any]:
        return {"latency": self.latency_ms // 10, "jitter": 0}


class BandwidthInTheWrongUnit(Bandwidth):
    @property
    def attributes(self) -> dict[str, Any]:
        return {"rate": self.rate_kb_s * 1000}


class SlicerOfOneSlice(Slicer):
    @property
    def attributes(self) -> dict[str, Any]:
        return super().attributes | {"average_size": 1_000_000, "size_variation": 0}


class TruncatedRequests(Truncate):
    stream = "upstream"


class StatusAtAThirdOfTheRate(HttpStatus):
    @property
    def attributes(self) -> dict[str, Any]:
        return super().attributes | {"rate": self.rate / 3}


class StatusWithoutRetryAfter(HttpStatus):
    @property
    def attributes(self) -> dict[str, Any]:
        return super().attributes | {"retry_after": 0}


class DimensionOfAnotherSize(HttpEmbeddingDimension):
    @property
    def attributes(self) -> dict[str, Any]:
        return super().attributes | {"change": self.change + 1}


class StaleThatIsADuplicate(HttpStale):
    toxic = "http_duplicate"


class LatencyOnAnotherLink(Latency):
    def inject(self, stack: Stack) -> None:
        ToxicControl(stack).add(
            "gateway-rerank", "ragdrill-latency", self.toxic, self.stream, self.attributes
        )


class DownThatTakesTheNextLinkWithIt(Down):
    def inject(self, stack: Stack) -> None:
        super().inject(stack)
        ToxicControl(stack).enable("gateway-rerank", False)

    def heal(self, stack: Stack) -> None:
        super().heal(stack)
        ToxicControl(stack).enable("gateway-rerank", True)


class LatencyThatIsForgotten(Latency):
    def heal(self, stack: Stack) -> None:
        pass


class StatusHealedUnderAnotherName(HttpStatus):
    def heal(self, stack: Stack) -> None:
        ToxicControl(stack).remove(self.link, "http_status_downstream")


class DownHealedOnAnotherLink(Down):
    def heal(self, stack: Stack) -> None:
        ToxicControl(stack).enable("gateway-rerank", True)


class FlappingThatGoesOn(Flapping):
    def heal(self, stack: Stack) -> None:
        ToxicControl(stack).enable(self.link, True)


class HealedWithSomethingLeft(Latency):
    def heal(self, stack: Stack) -> None:
        super().heal(stack)
        ToxicControl(stack).add(self.link, "left-over", "noop", "downstream", {})


def listed(fault: LinkFault, stack: Stack) -> bool:
    """What a proof must not go by."""
    toxics = ToxicControl(stack).state()[fault.link]["toxics"]
    return any(toxic["name"] == f"ragdrill-{fault.slug}" for toxic in toxics)


class LatencyProvenByTheList(Latency):
    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        return Proof(listed(self, stack))


class StatusProvenByTheList(HttpStatus):
    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        return Proof(listed(self, stack))


class LatencyHealedByTheList(Latency):
    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        return Proof(not listed(self, stack))


class AlwaysProven(BlackHole):
    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        return Proof(True)


class StatusOfAnyKind(HttpStatus):
    def hit(self, answer: Any, before: dict[str, Any]) -> bool:
        return answer.status > 0


class ProvenWithoutLookingPastTheLink(Down):
    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        return Proof(self.shows(self._looks(stack), before))


Check = Callable[[Fault, Stack], None]

DEFECTS: list[tuple[Fault, Check, str]] = [
    (InertLatency(EMBED, 200), checks.it_lands, "never landed"),
    (LatencyInTheWrongUnit(EMBED, 600), checks.it_lands, "never landed"),
    (BandwidthInTheWrongUnit(EMBED, 2), checks.it_lands, "never landed"),
    (SlicerOfOneSlice(EMBED, 20), checks.it_lands, "never landed"),
    (TruncatedRequests(EMBED, 20), checks.it_lands, "never landed"),
    (StatusAtAThirdOfTheRate(EMBED, 0.9), checks.it_lands, "never landed"),
    (StatusWithoutRetryAfter(EMBED, status=429, retry_after_s=3), checks.it_lands, "never landed"),
    (DimensionOfAnotherSize(EMBED, change=2), checks.it_lands, "never landed"),
    (StaleThatIsADuplicate(EMBED), checks.it_lands, "never landed"),
    (LatencyOnAnotherLink(EMBED, 200), checks.it_lands, "never landed"),
    (DownThatTakesTheNextLinkWithIt(EMBED), checks.other_links_are_spared, "hit another link"),
    (LatencyThatIsForgotten(EMBED, 200), checks.it_heals, "not healed"),
    (StatusHealedUnderAnotherName(EMBED), checks.it_heals, "not healed"),
    (DownHealedOnAnotherLink(EMBED), checks.it_heals, "not healed"),
    (FlappingThatGoesOn(EMBED, 100, 100), checks.it_heals, "not healed"),
    (HealedWithSomethingLeft(EMBED, 200), checks.it_heals, "residue"),
    (LatencyProvenByTheList(EMBED, 200), checks.the_control_api_is_no_proof, "list"),
    (StatusProvenByTheList(EMBED), checks.the_control_api_is_no_proof, "list"),
    (LatencyHealedByTheList(EMBED, 200), checks.a_link_that_is_still_broken_is_not_healed, "list"),
    (AlwaysProven(EMBED), checks.it_is_not_proven_without_being_injected, "without being injected"),
    (StatusOfAnyKind(EMBED), checks.it_lands, "never landed"),
    (ProvenWithoutLookingPastTheLink(EMBED), checks.a_broken_target_is_no_proof, "dead target"),
]


@pytest.mark.parametrize(
    ("fault", "check", "told"), DEFECTS, ids=[type(fault).__name__ for fault, _, _ in DEFECTS]
)
def test_a_defect_is_caught_by_the_check_that_names_it(
    fault: Fault, check: Check, told: str, fault_stack: EmbeddedStack
) -> None:
    with pytest.raises(AssertionError, match=told):
        check(fault, fault_stack)
    # The schedule of a defective flapping ends with its licence, which clean() took.
    type(fault).__mro__[1].heal(fault, fault_stack)


@pytest.mark.parametrize(
    "fault",
    [
        Latency(EMBED, 200),
        BlackHole(EMBED),
        Truncate(EMBED, 20),
        HttpStatus(EMBED),
        HttpDuplicate(EMBED),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "check",
    [
        checks.the_control_api_is_no_proof,
        checks.a_link_that_is_still_broken_is_not_healed,
        checks.a_broken_target_is_no_proof,
        checks.other_links_are_spared,
    ],
    ids=lambda check: check.__name__,
)
def test_a_sound_fault_passes_the_checks_that_catch_defects(
    fault: Fault, check: Check, fault_stack: EmbeddedStack
) -> None:
    check(fault, fault_stack)


def test_a_defect_is_no_part_of_the_catalogue() -> None:
    assert not {type(fault) for fault, _, _ in DEFECTS} & set(FAULTS.values())
    assert all(kind.slug == slug for slug, kind in FAULTS.items())
    assert issubclass(HttpFault, LinkFault)
