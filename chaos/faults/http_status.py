"""HTTP status: a link answers with an error status of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.http_fault import HttpFault
from chaos.faults.http_probe import Answer, Ask, Line, json_path
from harness.drivers.base import Link, Stack


@dataclass(frozen=True)
class HttpStatus(HttpFault):
    """Puts an answer with ``status``, and ``Retry-After: retry_after_s`` unless that is 0, in the
    place of the target's answer. The target has done the work all the same."""

    status: int = 500
    retry_after_s: int = 0

    slug: ClassVar[str] = "http-status"
    sentence: ClassVar[str] = "Answers come with an error status, 500, 429 or 503 for instance."
    toxic: ClassVar[str] = "http_status"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "status", self.status, 400, 599, "(HTTP status)")
        in_range(self.slug, "retry_after_s", self.retry_after_s, 0, 86_400, "s")

    @property
    def attributes(self) -> dict[str, Any]:
        """Retry-After in seconds."""
        return {"status": self.status, "retry_after": self.retry_after_s, "rate": self.rate}

    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """Anything that is answered well."""
        return Ask(json_path(link.target))

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """Status and Retry-After are those of the fault."""
        wait = str(self.retry_after_s) if self.retry_after_s else None
        return answer.status == self.status and answer.headers.get("retry-after") == wait
