"""Common ground of the faults that change rankings on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.http_fault import HttpFault
from chaos.faults.http_probe import Answer, Ask, Line, rerank_ask
from harness.drivers.base import Link, Stack


@dataclass(frozen=True)
class HttpRerankFault(HttpFault):
    """Changes the scores of a TEI-shaped answer."""

    where: ClassVar[str] = "a link to rerank"
    targets: ClassVar[tuple[str, ...]] = ("rerank",)

    def ask(self, stack: Stack, link: Link, line: Line) -> Ask:
        """A ranking of four texts."""
        return rerank_ask(stack, link.target)

    def learn(self, answers: list[Answer]) -> dict[str, Any]:
        """The true score of each text, by its index as text (JSON knows no other keys)."""
        return {"scores": scores_of(answers[0])}

    def whole(self, answer: Answer, before: dict[str, Any]) -> bool:
        """Every text has its true score."""
        return bool(before["scores"]) and scores_of(answer) == before["scores"]


def scores_of(answer: Answer) -> dict[str, float]:
    """The scores of an answer by index, empty when there are none."""
    ranking = answer.json()
    if not isinstance(ranking, list):
        return {}
    try:
        return {str(entry["index"]): float(entry["score"]) for entry in ranking}
    except (TypeError, KeyError, ValueError):
        return {}
