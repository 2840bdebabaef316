"""Common ground of the faults of a GPU, on targets whose GPU is a stand-in.

A real device can't be lost or slowed from outside, so what is staged is what would be seen of it:
the exporter's figures change, and so do the answers of the two workers that would run on it. Every
proof says that it is of a stand-in.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

from chaos.faults.base import Fault, Proof
from chaos.faults.link_fault import LinkFault
from chaos.faults.notes import Notes
from chaos.faults.role_fault import with_volumes
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack

ROLE = "gpu"
WORKER_LINKS = ("gateway-embed", "gateway-rerank")
_SCRAPE_LINK = "metrics-gpu"
_FILE = "device.json"
_DEADLINE_S = 5.0
_FIGURES = {
    "DCGM_FI_DEV_GPU_UTIL": "utilization",
    "DCGM_FI_DEV_SM_CLOCK": "clock",
    "DCGM_FI_DEV_GPU_TEMP": "temperature",
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": "throttle",
    "DCGM_FI_DEV_XID_ERRORS": "xid",
    "rag_gpu_devices": "devices",
    "rag_gpu_lost_devices": "lost",
}


@dataclass(frozen=True)
class GpuFault(Fault):
    """Writes the stand-in's state and puts the same fault on the links to both workers."""

    device: ClassVar[dict[str, Any]]
    """What the stand-in's file holds while the fault is on."""

    @property
    def on(self) -> str:
        """The device's role."""
        return ROLE

    @abstractmethod
    def part(self, link: str) -> LinkFault:
        """What a worker on such a device does, as its client sees it."""

    @abstractmethod
    def staged(self, now: dict[str, float], before: dict[str, float]) -> bool:
        """Whether the exporter's figures are those of such a device."""

    @property
    def parts(self) -> list[LinkFault]:
        """One fault for each worker."""
        return [self.part(link) for link in WORKER_LINKS]

    def check_target(self, stack: Stack) -> None:
        """The target has a GPU exporter that is a stand-in, and links that can be broken."""
        super().check_target(stack)
        if ROLE not in stack.roles():
            raise NotAllowed(
                f"The target {stack.name!r} has no {ROLE}.",
                expected=f"the role {ROLE}",
                actual=", ".join(stack.roles()),
            )
        with_volumes(stack)
        for part in self.parts:
            part.check_target(stack)
        answer = httpx.get(
            f"{stack.endpoint(ROLE).url}/healthz", timeout=_DEADLINE_S, trust_env=False
        )
        if not answer.json().get("stand_in"):
            raise NotAllowed(
                "A real GPU can't be lost or slowed down from outside.",
                expected="an exporter whose figures are a stand-in (GPU_SOURCE=stand-in)",
                actual=answer.json().get("software"),
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """The exporter's figures and the workers' answers while all is well."""
        return {
            "figures": figures(stack),
            "parts": [part.before(stack) for part in self.parts],
        }

    def inject(self, stack: Stack) -> None:
        """Write the stand-in's state, and break what comes from the workers."""
        self._notes(stack).write(file=_FILE)
        path = with_volumes(stack).volume(ROLE) / _FILE
        partial = path.with_name(f".{_FILE}.{os.getpid()}")
        partial.write_text(json.dumps(self.device))
        partial.replace(path)
        for part in self.parts:
            part.inject(stack)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The figures that Prometheus scrapes, and what the gateway gets from both workers, are
        those of such a device; the workers themselves, asked directly, are well: it is staged."""
        now = figures(stack)
        proofs = [
            part.prove(stack, then) for part, then in zip(self.parts, before["parts"], strict=True)
        ]
        return Proof(
            self.staged(now, before["figures"]) and all(proof.ok for proof in proofs),
            {
                "stand-in": "no GPU was touched",
                "figures": now,
                "figures before": before["figures"],
                **{part.link: p.seen for part, p in zip(self.parts, proofs, strict=True)},
            },
        )

    def heal(self, stack: Stack) -> None:
        """Give the workers' links back and remove the stand-in's state."""
        for part in self.parts:
            part.heal(stack)
        notes = self._notes(stack)
        if notes.read() is not None:
            (with_volumes(stack).volume(ROLE) / _FILE).unlink(missing_ok=True)
            notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The figures are as before, and both workers answer as before."""
        now = figures(stack)
        proofs = [
            part.prove_healed(stack, then)
            for part, then in zip(self.parts, before["parts"], strict=True)
        ]
        return Proof(
            now == before["figures"] and all(proof.ok for proof in proofs),
            {
                "figures": now,
                **{part.link: p.seen for part, p in zip(self.parts, proofs, strict=True)},
            },
        )

    def _notes(self, stack: Stack) -> Notes:
        return Notes(stack, self.slug, self.on)


def figures(stack: Stack) -> dict[str, float]:
    """What a scrape gets of the device, over the link that Prometheus uses if there is one.

    A figure that is not exported is missing. Raises TargetError when the exporter does not answer.
    """
    links = {link.name: link.url for link in stack.links()}
    url = links.get(_SCRAPE_LINK) or stack.endpoint(ROLE).url
    try:
        text = httpx.get(f"{url}/metrics", timeout=_DEADLINE_S, trust_env=False).text
    except httpx.HTTPError as error:
        raise TargetError("The GPU exporter does not answer.", actual=str(error)) from error
    return {
        _FIGURES[sample.name]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in _FIGURES
    }
