"""HTTP stale: a link answers with what it answered before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_fault import HttpFault
from chaos.faults.http_probe import ID_HEADER, Answer, Ask, Line, json_path
from harness.drivers.base import Link, Stack


@dataclass(frozen=True)
class HttpStale(HttpFault):
    """Answers with the true answer to the request before, of the same method and path, whoever
    sent it: like a cache that forgets what an answer depends on.

    The proof needs a target that returns the ``X-Request-Id`` it was sent.
    """

    slug: ClassVar[str] = "http-stale"
    sentence: ClassVar[str] = "Answers are those to an earlier request, of anybody."
    toxic: ClassVar[str] = "http_stale"

    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """Anything that is answered well."""
        return Ask(json_path(link.target))

    def exchange(self, line: Line, ask: Ask, count: int) -> list[Answer]:
        """Once more than looked at: the link has to have an answer before it can repeat one."""
        return super().exchange(line, ask, count + 1)[1:]

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """It bears the id of another request."""
        return answer.status == 200 and answer.headers.get(ID_HEADER) not in (None, answer.asked_as)

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """It bears the id of its own request."""
        return answer.status == 200 and answer.headers.get(ID_HEADER) == answer.asked_as
