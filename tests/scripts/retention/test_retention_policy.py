"""How long documents are kept, and what is refused before anything is read."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import cast

import pytest

from harness.core.errors import UsageError
from scripts.dayops.script import Refused
from scripts.retention.plan import Due, Metadata, PlanDigest
from scripts.retention.policy import (
    LONG_AGO,
    Policy,
    days_of,
    moment_of,
    refuse_too_many,
    tenants_of,
)
from scripts.retention.pruning import Record, reconcile
from scripts.retention_worker import run

NOW = datetime(2026, 5, 9, 8, tzinfo=UTC)


def test_the_cutoff_is_the_moment_less_the_days() -> None:
    policy = Policy(NOW, 90, {"long": 365, "ever": None})
    assert policy.cutoff == NOW - timedelta(days=90)
    assert policy.cutoffs() == {"long": NOW - timedelta(days=365), "ever": LONG_AGO}


def test_days_are_counted_in_hours_over_a_change_of_the_clocks() -> None:
    spring = datetime(2026, 4, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert (spring - Policy(spring, 90).cutoff).total_seconds() == 90 * 86_400


@pytest.mark.parametrize("text", ["0", "-1", "", "ninety", "1.5", "36501", "1e3"])
def test_what_is_no_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="whole number of days"):
        days_of(text)


def test_tenants_have_days_of_their_own() -> None:
    assert tenants_of(["acme=30", "a=b=7", "globex=never"]) == {
        "acme": 30,
        "a=b": 7,
        "globex": None,
    }


@pytest.mark.parametrize("given", [["acme"], ["=30"], ["acme=0"], ["acme=1", "acme=2"]])
def test_what_cannot_be_read_of_a_tenant_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError):
        tenants_of(given)


def test_clocks_that_disagree_are_refused() -> None:
    assert moment_of(None, NOW, NOW + timedelta(minutes=4)) == NOW
    for apart in (timedelta(minutes=6), timedelta(days=-400)):
        with pytest.raises(Refused, match="do not agree"):
            moment_of(None, NOW, NOW + apart)


@pytest.mark.parametrize("text", ["2026-05-09T08:00:01Z", "2027-01-01T00:00:00+00:00"])
def test_a_moment_that_lies_ahead_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="lies ahead"):
        moment_of(text, NOW, NOW)


@pytest.mark.parametrize("text", ["yesterday", "2026-05-09", "2026-05-09T08:00:00"])
def test_a_moment_without_its_zone_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="no moment"):
        moment_of(text, NOW, NOW)


def test_an_earlier_moment_is_taken() -> None:
    assert moment_of("2026-05-09T08:00:00Z", NOW, NOW) == NOW


def test_more_than_the_share_is_refused_unless_it_is_meant() -> None:
    refuse_too_many(50, 100, 0.5, really=False)
    refuse_too_many(0, 0, 0.5, really=False)
    refuse_too_many(51, 100, 0.5, really=True)
    with pytest.raises(Refused, match="51 of 100"):
        refuse_too_many(51, 100, 0.5, really=False)


def _due(name: str) -> Due:
    version = "00000000-0000-0000-0000-000000000001"
    row = {
        "tenant_id": "acme",
        "document_id": name,
        "persona": "support",
        "version": version,
        "ingested_at": NOW,
        "content_sha256": "0" * 64,
    }
    return Due.of(row, ["p1", "p2"])


def test_the_digest_of_a_plan_knows_no_order_and_every_document() -> None:
    forth, back, less = PlanDigest(), PlanDigest(), PlanDigest()
    lines = [_due(name).as_line() for name in ("a", "b", "c")]
    for line in lines:
        forth.add(line)
    for line in reversed(lines):
        back.add(line)
    for line in lines[:2]:
        less.add(line)
    assert forth.total == back.total != less.total
    assert (forth.documents, forth.points) == (3, 6)


def test_a_record_is_continued_and_holds_no_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        record = Record(tmp_path / "removed.jsonl")
        record.keep([_due(name)])
        record.close()
    found = [json.loads(line) for line in (tmp_path / "removed.jsonl").read_text().splitlines()]
    assert [each["document"] for each in found] == ["a", "b"]
    assert "body" not in found[0] and "text" not in found[0]
    assert record.digest().documents == 2


@pytest.mark.parametrize(
    "arguments", [["--days", "0"], ["--at-most", "0"], ["--at-most", "x"], ["--batch", "0"]]
)
def test_bad_arguments_end_it_before_a_store_is_asked(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody listens there: an attempt to connect would end with another code.
    monkeypatch.setenv("DATABASE_URL", "postgresql://x:secret-word@127.0.0.1:1/x")
    monkeypatch.setenv("QDRANT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("QDRANT_API_KEY", "key")
    assert run(arguments) == 4
    assert "expected" in capsys.readouterr().err


def test_a_store_that_is_away_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://x:secret-word@127.0.0.1:1/x")
    monkeypatch.setenv("QDRANT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("QDRANT_API_KEY", "key")
    assert run(["--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert "Traceback" not in told.err and "secret-word" not in told.err + told.out


class _Rows:
    """A metadata store that still has these documents, in the version that the record names."""

    def __init__(self, *documents: str) -> None:
        self._documents = documents
        self.asked = 0

    @property
    def connection(self) -> _Rows:
        return self

    def guard(self) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    def execute(self, _statement: str, given: tuple[list[str], ...]) -> _Rows:
        self.asked += 1
        self._given = given
        return self

    def fetchall(self) -> list[dict[str, str]]:
        return [
            {"tenant_id": tenant, "document_id": document, "version": version}
            for tenant, document, version in zip(*self._given, strict=True)
            if document in self._documents
        ]


def test_what_a_killed_run_recorded_and_did_not_remove_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "removed.jsonl"
    names = [f"note-{number:04d}" for number in range(1201)]
    torn = b'{"tenant": "acme", "docum'
    path.write_bytes(b"".join(_due(name).as_line() for name in names) + torn)
    rows = _Rows("note-0000", "note-0600", "note-1200")
    assert reconcile(path, cast(Metadata, rows)) == 4
    left = [json.loads(line)["document"] for line in path.read_text().splitlines()]
    assert left == [name for name in names if name not in ("note-0000", "note-0600", "note-1200")]
    assert rows.asked == 3, "in parts, so that the record may be of any size"
    assert reconcile(path, cast(Metadata, _Rows())) == 0
    assert reconcile(tmp_path / "none.jsonl", cast(Metadata, rows)) == 0
