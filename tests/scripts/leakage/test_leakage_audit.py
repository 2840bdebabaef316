"""Tests of scripts/leakage_audit.py: every planted leak, nothing else, and no false comfort."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fixtures.leaks import Owned, found_by
from tests.scripts.leakage.leakage_world import COLLECTION, LeakageWorld

COUNT = 1200


def _new() -> str:
    return str(uuid.uuid4())


def plant(leakage: LeakageWorld, chunks: list[Owned]) -> dict[int | str, str]:
    """Make one mistake of each sort that an operator makes; returns the kind by point id."""
    one, two, three, four, five, six, seven, eight = random.Random(3).sample(chunks, 8)
    planted: dict[int | str, str] = {}
    leakage.set_payload([one.point_id], {"tenant_id": "somebody-else"})
    planted[one.point_id] = "misplaced"
    other = "work" if two.persona == "personal" else "personal"
    leakage.set_payload([two.point_id], {"persona": other})
    planted[two.point_id] = "misplaced"
    leakage.clear_payload([three.point_id])
    planted[three.point_id] = "misplaced"
    leakage.set_payload([four.point_id], {"tenant_id": [four.tenant_id, "globex", "acme"]})
    planted[four.point_id] = "misplaced"
    tenant = next(t for t in ("acme", "globex") if t != five.tenant_id)
    leakage.put([(ids := _new(), {**five.payload, "tenant_id": tenant})])
    planted[ids] = "foreign"
    other = "work" if six.persona == "personal" else "personal"
    leakage.put([(ids := _new(), {**six.payload, "persona": other})])
    planted[ids] = "foreign"
    leakage.put([(7, seven.payload)])
    planted[7] = "duplicated"
    leakage.put([(ids := _new(), None), (18446744073709551615, {})])
    planted |= {ids: "unowned", 18446744073709551615: "unowned"}
    leakage.put([(ids := _new(), {**eight.payload, "chunk_id": "doc-x#gone.0000"})])
    planted[ids] = "unowned"
    return planted


@pytest.fixture
def chunks(leakage: LeakageWorld) -> list[Owned]:
    return leakage.fill(COUNT)


def test_sound_stores_are_clean(leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path) -> None:
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert found_by(tmp_path) == {}
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["points"], report["chunks"]) == (COUNT, COUNT)
    assert "clean" in (tmp_path / "index.html").read_text()


def test_each_planted_leak_is_found_by_its_kind_and_nothing_else_is(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    planted = plant(leakage, chunks)
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path))
    assert ran.returncode == 1, ran.stderr
    found = found_by(tmp_path)
    assert {point: each["kind"] for point, each in found.items()} == planted
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kinds"] == {k: Counter(planted.values())[k] for k in report["kinds"]}
    page = (tmp_path / "index.html").read_text()
    assert all(str(point) in page for point in planted), "the page names every point"


def test_a_foreign_point_is_reported_with_the_namespace_whose_chunk_it_holds(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    victim = chunks[0]
    leakage.put([(point := _new(), {**victim.payload, "tenant_id": "initech"})])
    leakage.run("leakage_audit.py", "--out", str(tmp_path))
    found = found_by(tmp_path)[point]
    assert (found["tenant_id"], found["owner_tenant"]) == ("initech", victim.tenant_id)
    assert found["owner_point"] == victim.point_id


def test_points_that_wait_for_their_removal_are_no_leak(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    replaced, overdue = _new(), _new()
    gone: dict[str, Any] = {**chunks[0].payload, "chunk_id": "doc-000000#older.0000"}
    leakage.put([(replaced, gone), (overdue, gone)])
    for point, age in ((replaced, "1 minute"), (overdue, "2 hours")):
        leakage.postgres.rows(
            "INSERT INTO rag.vector_cleanup VALUES (gen_random_uuid(), 'acme', 'doc-000000',"
            " 'work', 'replaced', ARRAY[%s::uuid], now() - %s::interval)", point, age,
        )  # fmt: skip
    leakage.run("leakage_audit.py", "--out", str(tmp_path))
    assert set(found_by(tmp_path)) == {overdue}, "only what nobody removes any more"
    [collection] = [
        each
        for each in json.loads((tmp_path / "report.json").read_text())["collections"]
        if each["name"] == COLLECTION
    ]
    assert collection["pending"] == 1


def test_rows_that_contradict_each_other_are_found(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    with psycopg.connect(leakage.postgres.dsn(), autocommit=True) as connection:
        connection.execute("ALTER TABLE public.chunks DISABLE TRIGGER chunk_follows_document")
        connection.execute(
            "UPDATE public.chunks SET persona = 'other' WHERE chunk_id = %s", [chunks[5].chunk_id]
        )
        connection.execute("ALTER TABLE public.chunks ENABLE TRIGGER chunk_follows_document")
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path))
    assert ran.returncode == 1
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["document_id"] for row in rows] == [chunks[5].document_id]
    assert "persona" in rows[0]["finding"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"QDRANT_URL": "http://127.0.0.1:9"}, "vector store gives no answer"),
        ({"QDRANT_API_KEY": "wrong"}, "vector store refuses"),
        ({"DATABASE_URL": "postgresql://owner@127.0.0.1:9/x"}, "metadata store does not let"),
    ],
)
def test_what_cannot_be_checked_is_never_clean(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path), **changes)
    assert ran.returncode == 2
    assert said in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "report.json").exists()


def test_a_role_that_sees_only_its_own_rows_is_refused(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    with psycopg.connect(leakage.postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS narrow")
        connection.execute("CREATE ROLE narrow LOGIN")
        connection.execute("GRANT authenticated TO narrow WITH INHERIT TRUE")
    narrow = leakage.postgres.dsn("narrow")
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path), DATABASE_URL=narrow)
    assert ran.returncode == 2
    assert "row-level security" in ran.stderr and "BYPASSRLS" in ran.stderr


def test_stores_of_two_deployments_are_not_compared(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    leakage.postgres.rows("TRUNCATE public.documents, public.chunks")
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path))
    assert ran.returncode == 2 and "nothing in common" in ran.stderr


def test_a_pattern_that_names_no_collection_is_not_clean(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    ran = leakage.run("leakage_audit.py", "--out", str(tmp_path), "--collections", "rag-chumks*")
    assert ran.returncode == 2 and "no collection to audit" in ran.stderr


def test_a_missing_setting_or_a_wrong_argument_is_a_usage_error(leakage: LeakageWorld) -> None:
    ran = leakage.run("leakage_audit.py", QDRANT_URL="")
    assert ran.returncode == 4 and "QDRANT_URL" in ran.stderr
    ran = leakage.run("leakage_audit.py", "--nonsense")
    assert ran.returncode == 4 and "--help" in ran.stderr
