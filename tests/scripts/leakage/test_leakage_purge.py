"""Tests of scripts/leakage_purge.py: exactly the leaked points go, at any number of tries."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from fixtures.leaks import Owned, found_by
from harness.checks.collection import Collection
from harness.checks.digest import Digest, digest
from tests.scripts.leakage.leakage_world import COLLECTION, KEY, LeakageWorld

COUNT = 600


@pytest.fixture
def chunks(leakage: LeakageWorld) -> list[Owned]:
    return leakage.fill(COUNT)


def content(leakage: LeakageWorld, without: set[int | str]) -> Digest:
    """The digest of everything else."""
    where = {"must_not": [{"has_id": list(without)}]}
    with Collection(leakage.url, COLLECTION, api_key=KEY) as collection:
        return digest(collection, where=where)


def plant(leakage: LeakageWorld, chunks: list[Owned]) -> set[int | str]:
    """Leaks of every kind, each beside sound points of the same tenant and persona."""
    leakage.set_payload([chunks[3].point_id], {"tenant_id": "globex"})
    leakage.clear_payload([chunks[9].point_id])
    leakage.set_payload([chunks[12].point_id], {"tenant_id": ["acme", "globex"]})
    copy, nobodys = str(uuid.uuid4()), str(uuid.uuid4())
    leakage.put([(copy, {**chunks[0].payload, "persona": "personal"}), (11, chunks[1].payload)])
    leakage.put([(nobodys, None)])
    return {chunks[3].point_id, chunks[9].point_id, chunks[12].point_id, copy, 11, nobodys}


def audit(leakage: LeakageWorld, out: Path) -> None:
    assert leakage.run("leakage_audit.py", "--out", str(out)).returncode == 1


def test_exactly_the_leaked_points_go_and_the_rest_stays_as_it_was(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    planted = plant(leakage, chunks)
    before, rest = leakage.ids(), content(leakage, planted)
    audit(leakage, tmp_path)
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path), "--digest")
    assert ran.returncode == 0, ran.stderr
    assert leakage.ids() == before - planted
    after = content(leakage, set())
    assert (after.count, after.total) == (rest.count, rest.total)
    record = json.loads((tmp_path / "purge.json").read_text())
    assert sum(record["removed"].values()) == len(planted)
    assert record["rest"][COLLECTION]["digest_after"] == rest.total
    assert record["leaks_afterwards"] == 0
    assert ["acme", chunks[3].document_id] in record["documents_to_embed_again"]


def test_a_dry_run_names_what_would_go_and_changes_nothing(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    planted = plant(leakage, chunks)
    whole = content(leakage, set())
    audit(leakage, tmp_path)
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path), "--dry-run")
    assert ran.returncode == 1, ran.stderr
    named = [json.loads(line) for line in (tmp_path / "dry-run-removed.jsonl").open()]
    assert {each["point_id"] for each in named} == planted
    assert content(leakage, set()) == whole


def test_a_second_run_finds_nothing_left_to_do(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    planted = plant(leakage, chunks)
    audit(leakage, tmp_path)
    leakage.run("leakage_purge.py", "--findings", str(tmp_path))
    after = content(leakage, set())
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / "purge.json").read_text())
    assert sum(record["removed"].values()) == 0 and record["gone_already"] == len(planted)
    assert record["recorded_over_all_runs"] == len(planted)
    assert content(leakage, set()) == after


def test_what_was_put_right_since_the_audit_stays(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    planted = plant(leakage, chunks)
    audit(leakage, tmp_path)
    leakage.set_payload([chunks[3].point_id], chunks[3].payload)
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert leakage.ids() & planted == {chunks[3].point_id}
    assert json.loads((tmp_path / "purge.json").read_text())["spared"] == 1


def test_without_findings_it_audits_first(leakage: LeakageWorld, chunks: list[Owned]) -> None:
    planted = plant(leakage, chunks)
    ran = leakage.run("leakage_purge.py")
    assert ran.returncode == 0, ran.stderr
    assert not leakage.ids() & planted


def test_most_of_a_collection_is_not_purged_unless_the_number_is_named(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    leakage.postgres.rows("DELETE FROM public.documents WHERE document_id > 'doc-000010'")
    audit(leakage, tmp_path)
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path))
    assert ran.returncode == 2 and "--most" in ran.stderr
    assert len(leakage.ids()) == COUNT
    many = str(len(found_by(tmp_path)))
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path), "--most", many)
    assert ran.returncode == 0, ran.stderr
    assert len(leakage.ids()) == COUNT - int(many)


def test_an_audit_that_never_ended_is_not_purged_by(
    leakage: LeakageWorld, chunks: list[Owned], tmp_path: Path
) -> None:
    plant(leakage, chunks)
    audit(leakage, tmp_path)
    (tmp_path / "report.json").unlink()
    ran = leakage.run("leakage_purge.py", "--findings", str(tmp_path))
    assert ran.returncode == 4 and "no finished audit" in ran.stderr
    assert len(leakage.ids()) == COUNT + 3
