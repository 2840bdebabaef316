"""A chunk that lost its point is counted, whatever else the vector store holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from refstack.opsexporter import stores
from refstack.opsexporter.stores import Agreement

Chunk = tuple[str, str, str]


class Rows:
    """The table of chunks, with the three statements that the exporter sends.

    ``meanwhile`` is called before the one that looks again at chunks without a point.
    """

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks = sorted(chunks)
        self.meanwhile: Callable[[], None] = lambda: None
        self.pages = 0

    def row(self, statement: str, parameters: Sequence[Any] = ()) -> tuple[float, ...]:
        if "unnest" not in statement:
            return (float(len(self.chunks)),)
        self.meanwhile()
        asked = set(zip(*parameters, strict=True))
        return (float(sum(chunk[:2] in asked for chunk in self.chunks)),)

    def rows(self, _statement: str, parameters: Sequence[Any] = ()) -> list[Chunk]:
        self.pages += 1
        tenant, chunk, most = parameters
        return [each for each in self.chunks if each[:2] > (tenant, chunk)][:most]

    def close(self) -> None:
        pass


class Points:
    """A vector store that answers the two requests that are asked of it."""

    def __init__(self, ids: set[str]) -> None:
        self.ids, self.lost = ids, False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.lost:
            return httpx.Response(404)
        if request.url.path.endswith("/count"):
            return httpx.Response(200, json={"result": {"count": len(self.ids)}})
        asked = json.loads(request.content)["ids"]
        return httpx.Response(200, json={"result": [{"id": i} for i in asked if i in self.ids]})


def world(
    count: int, monkeypatch: pytest.MonkeyPatch, *, page: int = 500, interval_s: float = 600.0
) -> tuple[Agreement, Rows, Points]:
    monkeypatch.setattr(stores, "PAGE", page)
    chunks = [(f"t{n % 3}", f"c{n:05d}", f"p{n}") for n in range(count)]
    rows, points = Rows(chunks), Points({chunk[2] for chunk in chunks})
    made = Agreement("", "http://127.0.0.1:9", "", "rag-chunks", interval_s)
    made._database = rows  # type: ignore[assignment]
    made._vectordb.client = httpx.Client(
        transport=httpx.MockTransport(points), base_url="http://127.0.0.1:9"
    )
    return made, rows, points


def lost(agreement: Agreement) -> float:
    return next(s.value for s in agreement.read() if s.family == "rag_vectordb_lost_chunks")


def test_nothing_is_lost_where_every_chunk_has_its_point(monkeypatch: pytest.MonkeyPatch) -> None:
    agreement, _, points = world(25, monkeypatch, page=10)
    points.ids |= {"orphan-1", "orphan-2"}
    assert lost(agreement) == 0


def test_points_that_nobody_owns_hide_nothing_that_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agreement, _, points = world(25, monkeypatch, page=10)
    points.ids -= {"p3", "p24"}
    points.ids |= {f"orphan-{number}" for number in range(9)}
    assert lost(agreement) == 2
    points.ids |= {"p3", "p24"}
    assert lost(agreement) == 0


def test_a_chunk_that_is_deleted_meanwhile_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    agreement, rows, points = world(25, monkeypatch)
    points.ids -= {"p7"}
    points.ids |= {"orphan"}
    rows.meanwhile = lambda: rows.chunks.remove(("t1", "c00007", "p7"))
    assert lost(agreement) == 0


def test_what_one_read_has_no_time_for_is_seen_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agreement, rows, points = world(25, monkeypatch, page=10, interval_s=0.0)
    points.ids -= {"p23"}
    points.ids |= {"orphan"}
    seen = [lost(agreement) for _ in range(4)]
    assert seen == [0, 0, 1, 1]
    assert rows.pages == 4
    points.ids |= {"p23"}
    assert [lost(agreement) for _ in range(3)][-1] == 0


def test_a_collection_that_is_gone_has_lost_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    agreement, _, points = world(25, monkeypatch, page=10)
    points.lost = True
    assert lost(agreement) == 25


def test_more_chunks_than_points_are_lost_before_any_was_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agreement, _, points = world(25, monkeypatch, page=10, interval_s=0.0)
    points.ids -= {f"p{number}" for number in range(2, 24, 3)}
    assert lost(agreement) == 8
