"""HTTP malformed: a link breaks the JSON of answers off in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_fault import HttpFault
from chaos.faults.http_probe import Answer, Ask, Line, json_path
from harness.drivers.base import Link, Stack


@dataclass(frozen=True)
class HttpMalformed(HttpFault):
    """Sends the first half of JSON bodies as if it were all: HTTP is whole, the JSON is not."""

    slug: ClassVar[str] = "http-malformed"
    sentence: ClassVar[str] = "Answers with status and length in order hold broken JSON."
    toxic: ClassVar[str] = "http_malformed_json"

    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """Anything that is answered with JSON."""
        return Ask(json_path(link.target))

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """A body that is no JSON under a status that promises some."""
        return answer.status == 200 and bool(answer.body) and answer.json() is None
