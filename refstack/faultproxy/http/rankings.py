"""The ranking in a rerank response, in the shapes that are in use."""

from __future__ import annotations

from typing import Any


def ranking_of(answer: Any) -> list[dict[str, Any]] | None:
    """The list of scored indexes inside a parsed answer, to be changed in place; None without one.

    Known are TEI's `[{"index", "score"}]` and Cohere's `{"results": [{"index", ...}]}`.
    """
    found = answer.get("results") if isinstance(answer, dict) else answer
    if isinstance(found, list) and all(isinstance(e, dict) and "index" in e for e in found):
        return found
    return None
