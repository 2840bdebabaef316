"""Comparing what two collections answer to the same queries, and how they are configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.checks.collection import Collection, PointId
from harness.checks.digest import canonical_id
from harness.checks.result import CheckResult
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

Answer = list[tuple[PointId, float]]
"""Ids and scores, best first."""

SCORE_TOLERANCE = 1e-5
"""Scores are float32 sums whose order of addition may differ between segment layouts."""


def top_k_answers(
    collection: Collection,
    queries: Sequence[Sequence[float]],
    k: int = 10,
    *,
    using: str | None = None,
    where: Mapping[str, Any] | None = None,
    exact: bool = True,
    ef: int | None = None,
) -> list[Answer]:
    """Return the ``k`` best points for each query vector.

    ``exact`` searches without an index, so that equal content gives equal answers; ``ef`` is
    ``hnsw_ef`` for a search with one. ``using`` names a vector, ``where`` is a Qdrant filter.
    """
    params: dict[str, Any] = {"exact": exact}
    if ef is not None:
        params["hnsw_ef"] = ef
    request: dict[str, Any] = {"limit": k, "params": params, "with_payload": False}
    if using is not None:
        request["using"] = using
    if where is not None:
        request["filter"] = dict(where)
    return [
        [
            (point["id"], float(point["score"]))
            for point in collection.query({**request, "query": [float(x) for x in query]})
        ]
        for query in queries
    ]


def answers_differ(before: Answer, after: Answer, tolerance: float = SCORE_TOLERANCE) -> str | None:
    """Say how two answers differ, or return ``None``.

    Ranks must agree in score, and ids must be the same but for ties: points of one score may swap
    places, and at the last score other points of that very score may stand in.
    """
    if len(before) != len(after):
        return f"{len(before)} points before, {len(after)} after"
    for rank, ((_, one), (_, other)) in enumerate(zip(before, after, strict=True), start=1):
        if abs(one - other) > tolerance:
            return f"score {one:.6g} before, {other:.6g} after at rank {rank}"
    if not before:
        return None
    scores = {canonical_id(point): score for point, score in after}
    last = before[-1][1]
    for point, score in before:
        other_score = scores.get(canonical_id(point))
        if other_score is None:
            if score > last + tolerance:
                return f"point {point} with score {score:.6g} is gone"
        elif abs(score - other_score) > tolerance:
            return f"point {point} scored {score:.6g} before, {other_score:.6g} after"
    return None


def answers_verdict(
    before: Sequence[Answer], after: Sequence[Answer], *, tolerance: float = SCORE_TOLERANCE
) -> CheckResult:
    """Judge that two series of answers to the same queries are the same.

    No queries, and queries without a single answer, show nothing: inconclusive.
    """
    if len(before) != len(after):
        raise HarnessError(
            "answers to the same queries are compared",
            expected=f"{len(before)} answers",
            actual=len(after),
        )
    differing = {
        number: reason
        for number, (one, other) in enumerate(zip(before, after, strict=True))
        if (reason := answers_differ(one, other, tolerance)) is not None
    }
    verdict = Verdict.FAIL if differing else Verdict.PASS
    details: dict[str, Any] = {"queries": len(before), "differing": len(differing)}
    if differing:
        details["examples"] = {str(number): differing[number] for number in list(differing)[:20]}
    elif not any(before):
        verdict = Verdict.INCONCLUSIVE
        details["reason"] = "no query had an answer, so nothing was compared"
    return CheckResult(
        verdict,
        "top-k answers",
        expected=f"the same answers to {len(before)} queries",
        actual=f"{len(differing)} differ",
        details=details,
    )


def configuration(collection: Collection) -> dict[str, Any]:
    """Return the settings that a backup must bring back: configuration, indexes and aliases.

    Counts and states are left out, and so is everything that is ``null``.
    """
    info = collection.info()
    indexes = {
        name: {"data_type": index.get("data_type"), "params": index.get("params")}
        for name, index in (info.get("payload_schema") or {}).items()
    }
    cleaned = _without_null(
        {
            "config": info.get("config"),
            "payload_schema": indexes,
            "aliases": collection.aliases(),
        }
    )
    assert isinstance(cleaned, dict)
    return cleaned


def configuration_differences(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """Return every setting that differs as ``{"path", "before", "after"}``."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            difference
            for key in sorted(set(before) | set(after))
            for difference in configuration_differences(
                before.get(key), after.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    return [] if before == after else [{"path": path, "before": before, "after": after}]


def configuration_verdict(before: Mapping[str, Any], after: Mapping[str, Any]) -> CheckResult:
    """Judge that two configurations (see :func:`configuration`) are the same."""
    differences = configuration_differences(dict(before), dict(after))
    return CheckResult(
        Verdict.FAIL if differences else Verdict.PASS,
        "configuration, indexes and aliases",
        expected="the same settings",
        actual=f"{len(differences)} differ"
        + "".join(f"; {item['path']}" for item in differences[:5]),
        details={"differences": differences[:50]},
    )


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_null(v) for k, v in sorted(value.items()) if v is not None}
    return value
