"""What a query is answered with, in Loki's shapes."""

from __future__ import annotations

import bisect
import heapq
from typing import Any

from refstack.logstore.selector import NANOSECONDS, LogQuery, MetricQuery
from refstack.logstore.store import Entry, Store

_ALL = 1 << 60


def log_answer(
    store: Store, tenant: str, query: LogQuery, start: int, end: int, limit: int, *, forward: bool
) -> dict[str, Any]:
    """Lines by stream, ``limit`` in all: the earliest if ``forward``, else the latest."""
    streams = store.streams(tenant, start, end, query)
    found: list[tuple[int, int, str]] = []
    for stream in streams:
        held = store.entries(stream, start, end, query, forward=forward, limit=limit)
        found += [(at, stream, line) for at, line in held]
    pick = heapq.nsmallest if forward else heapq.nlargest
    values: dict[int, list[list[str]]] = {}
    for at, stream, line in pick(limit, found, key=lambda row: row[0]):
        values.setdefault(stream, []).append([str(at), line])
    result = [{"stream": streams[stream], "values": lines} for stream, lines in values.items()]
    return {"resultType": "streams", "result": result, "stats": {}}


def metric_answer(
    store: Store, tenant: str, query: MetricQuery, moments: list[int], *, instant: bool
) -> dict[str, Any]:
    """Counts of the range before each moment, by stream or summed; empty ones are left out."""
    reach = round(query.range_s * NANOSECONDS)
    first, last = moments[0] - reach, moments[-1]
    groups: dict[tuple[tuple[str, str], ...], list[list[Entry]]] = {}
    for stream, labels in store.streams(tenant, first + 1, last + 1, query.logs).items():
        kept = labels if query.by is None else {n: labels[n] for n in query.by if n in labels}
        held = store.entries(stream, first + 1, last + 1, query.logs, forward=True, limit=_ALL)
        groups.setdefault(tuple(sorted(kept.items())), []).append(held)
    result: list[dict[str, Any]] = []
    for key, lists in groups.items():
        points = [point for at in moments if (point := _point(query, lists, at, reach)) is not None]
        if points:
            value = {"value": points[-1]} if instant else {"values": points}
            result.append({"metric": dict(key), **value})
    return {"resultType": "vector" if instant else "matrix", "result": result, "stats": {}}


def _point(query: MetricQuery, lists: list[list[Entry]], at: int, reach: int) -> list[Any] | None:
    lines = size = 0
    for entries in lists:
        low = bisect.bisect_right(entries, at - reach, key=lambda entry: entry[0])
        high = bisect.bisect_right(entries, at, key=lambda entry: entry[0])
        lines += high - low
        size += sum(len(line.encode()) for _, line in entries[low:high])
    return [at / NANOSECONDS, f"{query.value(lines, size):g}"] if lines else None
