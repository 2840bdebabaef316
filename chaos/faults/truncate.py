"""Truncate: a link breaks answers off after a number of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look


@dataclass(frozen=True)
class Truncate(LinkFault):
    """Lets ``passed_bytes`` flow back over each connection and then closes it.

    Head and body of an HTTP answer count alike. The proof needs an answer that is longer.
    """

    passed_bytes: int

    slug: ClassVar[str] = "truncate"
    sentence: ClassVar[str] = "The link closes each connection after so many bytes of answer."
    toxic: ClassVar[str] = "limit_data"
    to_the_end: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "passed_bytes", self.passed_bytes, 0, 1_000_000_000, "bytes")

    @property
    def attributes(self) -> dict[str, Any]:
        """Toxiproxy takes bytes."""
        return {"bytes": self.passed_bytes}

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """Exactly that many bytes come of an answer that was longer, and then the end."""
        cut = all(each.received == self.passed_bytes and each.ended for each in looks)
        return cut and before["received"] > self.passed_bytes
