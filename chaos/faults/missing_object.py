"""Missing object: what was stored in the object store is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.objects import ROLE, ObjectFault, client, digest
from harness.drivers.base import Stack


@dataclass(frozen=True)
class MissingObject(ObjectFault):
    """Deletes the object; healing stores it again."""

    slug: ClassVar[str] = "missing-object"
    sentence: ClassVar[str] = "An object that was stored is gone from the object store."

    def harm(self, stack: Stack, key: str, data: bytes) -> None:
        """Delete it."""
        client(stack).remove_object(stack.credentials(ROLE)["bucket"], key)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Reading it gives NoSuchKey."""
        now = digest(stack, before["key"])
        return Proof(now is None, {"key": before["key"], "there": now is not None})
