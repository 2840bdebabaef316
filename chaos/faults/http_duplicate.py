"""HTTP duplicate: a link sends answers twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_fault import HttpFault
from chaos.faults.http_probe import Answer, Ask, Line, json_path
from harness.drivers.base import Link, Stack

_CAME = "answers"


@dataclass(frozen=True)
class HttpDuplicate(HttpFault):
    """Sends a second copy of an answer right behind the first, on connections that stay open. A
    client that does not notice takes it for the answer to its next request."""

    slug: ClassVar[str] = "http-duplicate"
    sentence: ClassVar[str] = "Answers come twice, the second one before anybody asked."
    toxic: ClassVar[str] = "http_duplicate"

    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """Anything that is answered well."""
        return Ask(json_path(link.target))

    def exchange(self, line: Line, ask: Ask, count: int) -> list[Answer]:
        """Two requests on one connection, so many times: what matters is how many answers come.

        The second one closes the connection, and an answer that ends its connection is not
        duplicated: three answers mean that the first one came twice.
        """
        came = [line.answers_to(ask, ask) for _ in range(count)]
        return [Answer(200 if each else 0, {_CAME: str(each)}) for each in came]

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """One answer more than was asked for."""
        return answer.headers.get(_CAME) == "3"

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """As many answers as requests."""
        return answer.headers.get(_CAME) == "2"
