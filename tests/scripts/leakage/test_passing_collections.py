"""Tests of audit and purge while collections come and go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.leaks import Owned, found_by
from harness.checks.collection import Collection
from harness.core.errors import TargetError
from scripts.leakage.auditing import audit
from scripts.leakage.claims import VectorStore
from scripts.leakage.ownership import Ownership
from scripts.leakage.page import write_page
from tests.scripts.leakage.leakage_world import COLLECTION, DIMENSION, KEY, LeakageWorld

COUNT = 300


@pytest.fixture
def chunks(leakage: LeakageWorld) -> list[Owned]:
    return leakage.fill(COUNT)


def _vanishing(leakage: LeakageWorld, name: str, *, before: int) -> VectorStore:
    """The store as the audit sees it, whose collection is deleted before it is opened the
    ``before``-th time."""

    class Vanishing(VectorStore):
        opened = 0

        def open(self, wanted: str) -> Collection:
            if wanted == name:
                self.opened += 1
                if self.opened == before:
                    leakage.call("DELETE", f"/collections/{name}")
            return super().open(wanted)

    return Vanishing(leakage.url, KEY)


@pytest.fixture
def passing(leakage: LeakageWorld, chunks: list[Owned]) -> Iterator[str]:
    """A second collection, with one leaked point, that is listed before the other one."""
    name = "a-passing-collection"
    vectors = {"size": DIMENSION, "distance": "Cosine"}
    leakage.call("PUT", f"/collections/{name}", {"vectors": vectors})
    point = {"id": 1, "vector": [1, 0, 0, 0], "payload": {**chunks[0].payload, "tenant_id": "x"}}
    leakage.call("PUT", f"/collections/{name}/points?wait=true", {"points": [point]})
    yield name
    leakage.http.delete(f"/collections/{name}")


def test_a_collection_that_is_deleted_meanwhile_is_named_and_the_rest_is_audited(
    leakage: LeakageWorld, passing: str, tmp_path: Path
) -> None:
    with _vanishing(leakage, passing, before=1) as store, Ownership(leakage.postgres.dsn()) as own:
        report = audit(store, own, tmp_path / "leaks.jsonl")
    assert report.deleted == [passing]
    assert COLLECTION in {each.name for each in report.collections}
    assert (report.points, report.leaks) == (COUNT, 0)
    page = write_page(report, tmp_path).read_text()
    assert passing in page and "not part of it" in page
    assert json.loads((tmp_path / "report.json").read_text())["deleted"] == [passing]


def test_what_was_found_in_a_collection_that_is_deleted_midway_is_taken_back(
    leakage: LeakageWorld, passing: str, tmp_path: Path
) -> None:
    def once_a_page(text: str) -> None:
        # Everything is read, and only the count at the end is missing.
        if text.startswith(passing):
            leakage.http.delete(f"/collections/{passing}")

    with VectorStore(leakage.url, KEY) as store, Ownership(leakage.postgres.dsn()) as own:
        report = audit(store, own, tmp_path / "leaks.jsonl", progress=once_a_page)
    assert (report.deleted, report.leaks, found_by(tmp_path)) == ([passing], 0, {})


def test_a_collection_that_is_restored_meanwhile_is_read_again(
    leakage: LeakageWorld, passing: str, tmp_path: Path
) -> None:
    class Restored(VectorStore):
        asked = 0

        def collections(self) -> list[str]:
            self.asked += 1
            # Missing for a moment, while the first list is made.
            return [n for n in super().collections() if n != passing or self.asked > 1]

    with Restored(leakage.url, KEY) as store, Ownership(leakage.postgres.dsn()) as own:
        report = audit(store, own, tmp_path / "leaks.jsonl")
    assert {each.name for each in report.collections} >= {passing, COLLECTION}
    assert report.leaks == 1, "what came up after the first list is read as well"


def test_when_every_collection_is_deleted_nothing_is_clean(
    leakage: LeakageWorld, passing: str, tmp_path: Path
) -> None:
    with (
        _vanishing(leakage, passing, before=1) as store,
        Ownership(leakage.postgres.dsn()) as own,
        pytest.raises(TargetError, match="no collection to audit") as refused,
    ):
        audit(store, own, tmp_path / "leaks.jsonl", collections=passing)
    assert f"deleted meanwhile: {passing}" in str(refused.value)


def test_a_purge_takes_a_collection_that_is_gone_for_purged(
    leakage: LeakageWorld, passing: str, tmp_path: Path
) -> None:
    assert leakage.run("leakage_audit.py", "--out", str(tmp_path)).returncode == 1
    leakage.call("DELETE", f"/collections/{passing}")
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "purge.json").read_text())["gone_already"] == 1
