"""HTTP embedding dimension: vectors arrive with another length than the model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import in_range
from chaos.faults.http_embedding_fault import HttpEmbeddingFault, vector_of
from chaos.faults.http_probe import Answer
from harness.core.errors import UsageError


@dataclass(frozen=True)
class HttpEmbeddingDimension(HttpEmbeddingFault):
    """Cuts ``-change`` numbers off each vector, or adds ``change`` zeros to it."""

    change: int = -1

    slug: ClassVar[str] = "http-embedding-dimension"
    sentence: ClassVar[str] = "Embeddings have more or fewer dimensions than the model's."
    toxic: ClassVar[str] = "http_embedding_dimension"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "change", self.change, -4096, 4096, "dimensions, but not 0")
        if self.change == 0:
            raise UsageError(
                f"The fault {self.slug!r} has to change something.",
                expected="-4096 to 4096 dimensions, but not 0",
                actual="0",
            )

    @property
    def attributes(self) -> dict[str, Any]:
        """Numbers added."""
        return {"change": self.change, "rate": self.rate}

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The vector is longer or shorter by just that."""
        wanted = max(before["dimension"] + self.change, 0)
        answered = answer.status == 200 and bool(answer.json())
        return answered and before["dimension"] > 0 and len(vector_of(answer)) == wanted

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The model's own dimension."""
        return answer.status == 200 and len(vector_of(answer)) == before["dimension"] > 0
