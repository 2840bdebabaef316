"""HTTP rerank permuted: the scores of a ranking belong to other texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_probe import Answer
from chaos.faults.http_rerank_fault import HttpRerankFault, scores_of


@dataclass(frozen=True)
class HttpRerankPermuted(HttpRerankFault):
    """Gives each score to the text of the next place: complete, well-formed and wrong."""

    slug: ClassVar[str] = "http-rerank-permuted"
    sentence: ClassVar[str] = "Rankings are complete, and their scores belong to other texts."
    toxic: ClassVar[str] = "http_rerank_permuted"

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The same texts and the same scores, matched otherwise."""
        seen, true = scores_of(answer), before["scores"]
        same_parts = set(seen) == set(true) and sorted(seen.values()) == sorted(true.values())
        return bool(true) and same_parts and seen != true
