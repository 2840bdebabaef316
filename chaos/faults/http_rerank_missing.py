"""HTTP rerank missing: a ranking leaves texts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.http_probe import Answer
from chaos.faults.http_rerank_fault import HttpRerankFault, scores_of


@dataclass(frozen=True)
class HttpRerankMissing(HttpRerankFault):
    """Takes ``missing`` scores out of each ranking, at random places, at most all of them."""

    missing: int = 1

    slug: ClassVar[str] = "http-rerank-missing"
    sentence: ClassVar[str] = "Rankings leave some of the texts out."
    toxic: ClassVar[str] = "http_rerank_missing"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "missing", self.missing, 1, 1000, "scores")

    @property
    def attributes(self) -> dict[str, Any]:
        """Scores."""
        return {"missing": self.missing, "rate": self.rate}

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """True scores, fewer of them by just that."""
        seen, true = scores_of(answer), before["scores"]
        left = max(len(true) - self.missing, 0)
        return (
            isinstance(answer.json(), list)
            and bool(true)
            and len(seen) == left
            and seen.items() <= true.items()
        )
