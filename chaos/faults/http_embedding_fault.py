"""Common ground of the faults that change embeddings on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_fault import HttpFault
from chaos.faults.http_probe import Answer, Ask, Line, embedding_ask
from harness.drivers.base import Link, Stack


@dataclass(frozen=True)
class HttpEmbeddingFault(HttpFault):
    """Changes each vector of an OpenAI-shaped answer."""

    where: ClassVar[str] = "a link to embed or fallback"
    targets: ClassVar[tuple[str, ...]] = ("embed", "fallback")

    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """One embedding."""
        return embedding_ask(stack, line, link.target)

    def learn(self, answers: list[Answer]) -> dict[str, Any]:
        """How long the model's vectors are."""
        return {"dimension": len(vector_of(answers[0]))}


def vector_of(answer: Answer) -> list[float]:
    """The first vector of an answer, empty when there is none."""
    try:
        vector = answer.json()["data"][0]["embedding"]
    except (TypeError, KeyError, IndexError):
        return []
    return vector if isinstance(vector, list) else []
