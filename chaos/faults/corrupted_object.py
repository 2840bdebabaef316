"""Corrupted object: the object store gives back something else than was stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.objects import ObjectFault, digest, write
from harness.drivers.base import Stack


@dataclass(frozen=True)
class CorruptedObject(ObjectFault):
    """Stores the object again with the lowest bit of its middle byte flipped.

    The store's own checksum then fits the wrong content, as after a corruption on the way in: only
    a digest made by who wrote it first can tell.
    """

    slug: ClassVar[str] = "corrupted-object"
    sentence: ClassVar[str] = "The object store gives back an object with one wrong bit."

    def harm(self, stack: Stack, key: str, data: bytes) -> None:
        """Flip one bit."""
        middle = len(data) // 2
        write(stack, key, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """It is there and its content has another digest."""
        now = digest(stack, before["key"])
        return Proof(now not in (None, before["digest"]), {"before": before["digest"], "now": now})
