"""HTTP embedding NaN: vectors arrive with a number that is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_embedding_fault import HttpEmbeddingFault, vector_of
from chaos.faults.http_probe import Answer


@dataclass(frozen=True)
class HttpEmbeddingNan(HttpEmbeddingFault):
    """Puts a NaN at one place of each vector, spelled as Python's ``json`` spells it."""

    slug: ClassVar[str] = "http-embedding-nan"
    sentence: ClassVar[str] = "Embeddings of the right length hold a NaN."
    toxic: ClassVar[str] = "http_embedding_nan"

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The right length, and a NaN."""
        vector = vector_of(answer)
        return len(vector) == before["dimension"] and any(math.isnan(n) for n in vector)

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The right length, and numbers only."""
        vector = vector_of(answer)
        right = answer.status == 200 and len(vector) == before["dimension"] > 0
        return right and all(math.isfinite(n) for n in vector)
