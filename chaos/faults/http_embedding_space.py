"""HTTP embedding space: vectors arrive that another model has made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_embedding_fault import HttpEmbeddingFault, vector_of
from chaos.faults.http_probe import Answer

MODEL = "another-model"
"""The name that the changed answers give."""


@dataclass(frozen=True)
class HttpEmbeddingSpace(HttpEmbeddingFault):
    """Turns each vector round and names another model in the answer, as a provider does that has
    replaced its model: same dimension, another space."""

    slug: ClassVar[str] = "http-embedding-space"
    sentence: ClassVar[str] = "Embeddings are another model's, and the answer names that model."
    toxic: ClassVar[str] = "http_embedding_space"

    def learn(self, answers: list[Answer]) -> dict[str, Any]:
        """The ends of the model's own vector, rounded: enough to tell one space from another."""
        vector = vector_of(answers[0])
        return {
            "model": _model_of(answers[0]),
            "first": _rounded(vector[:3]),
            "last": _rounded(vector[-3:]),
        }

    def hit(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The other model is named, and the vector is the true one turned round."""
        return (
            answer.status == 200
            and _model_of(answer) == MODEL
            and _rounded(vector_of(answer)[-3:][::-1]) == before["first"]
        )

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """The model's own name and vector."""
        vector = vector_of(answer)
        return (
            answer.status == 200
            and _model_of(answer) == before["model"]
            and _rounded(vector[:3]) == before["first"]
            and _rounded(vector[-3:]) == before["last"]
        )


def _model_of(answer: Answer) -> str:
    told = answer.json()
    return str(told.get("model", "")) if isinstance(told, dict) else ""


def _rounded(vector: list[float]) -> list[float]:
    return [round(number, 4) for number in vector]
