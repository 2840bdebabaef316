"""How a collection grows, when it reaches the limit, and which shards it then needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

LIMIT = 15_000_000
"""Points of a collection at which the guide (section 7) wants the split planned."""

DAY_S = 86_400.0
LEAST_HISTORY_S = DAY_S
"""Less says nothing of growth: a day has busy and idle hours."""

INDEX_SHARE = 1.5
"""Memory of vectors with their index, over the bare vectors (Qdrant's guide to capacity)."""

_BYTES = {"float32": 4, "float16": 2, "uint8": 1}
_GIB = 1 << 30
FARTHEST = timedelta(days=36_500)


@dataclass(frozen=True)
class Growth:
    """Points a day, by a straight line through what was seen; over how many days it was seen."""

    per_day: float
    over_days: float


@dataclass(frozen=True)
class Plan:
    """What one collection comes to. ``reaches`` is None if it never does, or nobody knows.

    ``shards`` is how many hold at most ``per_shard`` points each at the horizon; never fewer than
    there are. ``due`` says that they are needed before the horizon.
    """

    collection: str
    points: int
    shards_now: int
    growth: Growth | None
    reaches: datetime | None
    points_at_horizon: int
    shards: int
    due: bool
    ram_gib: float

    def told(self) -> dict[str, Any]:
        """For the log."""
        return {
            "collection": self.collection,
            "points": self.points,
            "shards_now": self.shards_now,
            "grows_per_day": None if self.growth is None else round(self.growth.per_day, 1),
            "seen_days": None if self.growth is None else round(self.growth.over_days, 1),
            "reaches_limit": None if self.reaches is None else self.reaches.date().isoformat(),
            "points_at_horizon": self.points_at_horizon,
            "shards": self.shards,
            "due": self.due,
            "ram_gib_at_horizon": round(self.ram_gib, 2),
        }


def growth(samples: Sequence[tuple[float, float]]) -> Growth | None:
    """Fit ``(UTC seconds, points)``, in order of time; None for less than a day of them."""
    if len(samples) < 3 or samples[-1][0] - samples[0][0] < LEAST_HISTORY_S:
        return None
    at, points = np.array(samples, dtype=float).T
    slope = float(np.polyfit((at - at[0]) / DAY_S, points, 1)[0])
    return Growth(slope, float(at[-1] - at[0]) / DAY_S)


def bytes_per_point(params: Mapping[str, Any]) -> int:
    """Bytes of the vectors of one point, by the collection's ``config.params``; of sparse ones
    none, since their length is each point's own."""
    vectors = params.get("vectors") or {}
    each = [vectors] if "size" in vectors else list(vectors.values())
    return sum(
        int(one["size"]) * _BYTES.get(str(one.get("datatype") or "float32").lower(), 4)
        for one in each
    )


def plan(
    collection: str,
    points: int,
    params: Mapping[str, Any],
    found: Growth | None,
    *,
    limit: int,
    per_shard: int,
    horizon_days: float,
    now: datetime,
) -> Plan:
    """Return the plan of a collection. Shrinking ones are taken to stay as they are."""
    per_day = max(0.0, found.per_day) if found else 0.0
    later = points + math.ceil(per_day * horizon_days)
    reaches = None
    if points >= limit:
        reaches = now
    elif per_day and (days := (limit - points) / per_day) < FARTHEST.days:
        reaches = now + timedelta(days=days)
    there = int(params.get("shard_number") or 1)
    due = reaches is not None and reaches <= now + timedelta(days=horizon_days)
    return Plan(
        collection,
        points,
        there,
        found,
        reaches,
        later,
        max(there, math.ceil(later / per_shard)) if due else there,
        due,
        later * bytes_per_point(params) * INDEX_SHARE / _GIB,
    )


def in_words(planned: Plan, limit: int, horizon_days: float) -> str:
    """Two sentences for people."""
    what = f"{planned.collection}: {planned.points:,} points in {_shards(planned.shards_now)}"
    if planned.growth is None:
        what += ", growth not known (less than a day of it in Prometheus)"
    else:
        what += f", {planned.growth.per_day:+,.0f} a day over {planned.growth.over_days:.1f} days"
    when = (
        f"never reaches {limit:,} like that"
        if planned.reaches is None
        else f"is at {limit:,} already"
        if planned.points >= limit
        else f"reaches {limit:,} on {planned.reaches.astimezone(UTC).date()}"
    )
    if planned.growth is None and planned.reaches is None:
        when = f"is below {limit:,}"
    then = (
        f"plan {_shards(planned.shards)}, about {planned.ram_gib:.1f} GiB of memory in all"
        if planned.due and planned.shards > planned.shards_now
        else "no split is due today"
        if planned.growth is None
        else f"no split is due within {horizon_days:g} days"
    )
    return f"{what}. It {when}: {then}."


def _shards(number: int) -> str:
    return f"{number} shard{'s' if number != 1 else ''}"
