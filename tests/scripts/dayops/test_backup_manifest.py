"""Tests for scripts/dayops/manifest.py and prune.py: what a backup says of itself, and which go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.core.errors import UsageError
from scripts.dayops import manifest
from scripts.dayops.manifest import Run
from scripts.dayops.prune import Policy, add_options, kept, policy_of
from scripts.dayops.scratch_collections import minor, refuse_versions
from scripts.dayops.script import Refused
from scripts.dayops.vectorstore import Server

NOW = datetime(2026, 5, 9, 23, 0, tzinfo=UTC)


class Told:
    """Gives one manifest, whatever key is asked for."""

    def __init__(self, document: Any) -> None:
        self.document = document

    def read(self, _key: str) -> bytes | None:
        return None if self.document is None else json.dumps(self.document).encode()


class Quiet:
    """Remembers warnings."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, event: str, _text: str, **_fields: Any) -> None:
        self.warned.append(event)


@pytest.fixture
def run() -> Run:
    return manifest.new_run("vectordb", NOW)


@pytest.fixture
def document(run: Run) -> dict[str, Any]:
    begun = manifest.begin(run, {"software": "qdrant", "version": "1.19.0"})
    return manifest.finish({**begun, "objects": [], "collections": [], "aliases": {"a": "b"}})


def test_an_id_says_when_a_run_was_and_of_which_store(run: Run) -> None:
    assert run.id.startswith("2026-05-09/vectordb-230000Z-")
    assert manifest.parse_id(run.id) == run
    assert run.day == "2026-05-09"


@pytest.mark.parametrize("text", ["", "2026-05-09", "2026-13-40/vectordb-000000Z-abcdef", "../x"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no id of a backup"):
        manifest.parse_id(text)


def test_a_manifest_is_read_back_as_it_was_written(run: Run, document: dict[str, Any]) -> None:
    assert manifest.read_manifest(Told(document), run) == document  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: None, "no manifest"),
        (lambda d: [d], "can't be read"),
        (lambda d: {**d, "format": "other"}, "foreign"),
        (lambda d: {**d, "aliases": {}}, "not the one that was written"),
        (lambda d: {key: d[key] for key in d if key != "server"}, "not the one that was written"),
        (lambda d: {**d, "seal": "0" * 64}, "not the one that was written"),
        (lambda d: _resealed({**d, "id": "2026-05-08/vectordb-230000Z-abcdef"}), "foreign"),
    ],
)
def test_a_manifest_that_is_not_as_it_was_written_here_is_refused(
    run: Run, document: dict[str, Any], change: Callable[[Any], Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        manifest.read_manifest(Told(change(document)), run)  # type: ignore[arg-type]


def _resealed(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "seal": manifest.seal(document)}


def test_the_seal_does_not_hang_on_the_order_of_keys(document: dict[str, Any]) -> None:
    backwards = dict(reversed(list(document.items())))
    assert manifest.seal(backwards) == document["seal"]


def runs_at(*days_ago: float) -> list[Run]:
    return [manifest.new_run("vectordb", NOW - timedelta(days=days)) for days in days_ago]


def test_runs_of_one_second_are_in_order() -> None:
    moments = [NOW + timedelta(milliseconds=each) for each in (0, 1, 250, 999)]
    ids = [manifest.new_run("vectordb", moment).id for moment in moments]
    assert ids == sorted(ids)
    assert all(manifest.parse_id(each).moment == NOW for each in ids)


def test_every_young_run_stays_and_of_each_week_before_the_newest() -> None:
    runs = runs_at(0, 1, 13, 15, 16, 22, 30, 100)
    stays = {(NOW - run.moment).days for run in kept(runs, Policy(days=14, weeks=8), NOW)}
    assert {0, 1, 13} <= stays
    assert 100 not in stays
    weeks = {run.moment.isocalendar()[:2] for run in runs if (NOW - run.moment).days < 56}
    kept_weeks = {run.moment.isocalendar()[:2] for run in kept(runs, Policy(14, 8), NOW)}
    assert kept_weeks == weeks


def test_a_policy_of_nothing_keeps_nothing_by_itself() -> None:
    assert kept(runs_at(1, 2, 3), Policy(days=0, weeks=0), NOW) == set()


@pytest.mark.parametrize(
    ("record", "bad"),
    [
        (None, False),
        ({"ok": True}, False),
        ({"ok": False}, True),
        ({"found": "a record of another make"}, False),
        ([], False),
    ],
)
def test_a_backup_is_bad_once_a_verification_said_so(run: Run, record: Any, bad: bool) -> None:
    assert manifest.found_bad(Told(record), run) is bad  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["--keep-days", "--keep-weeks"])
def test_a_policy_of_less_than_nothing_is_refused(option: str) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    with pytest.raises(UsageError, match=f"{option} is below 0"):
        policy_of(parser.parse_args([option, "-1"]))
    assert policy_of(parser.parse_args([option, "0"])) in (Policy(0, 8), Policy(14, 0))


@pytest.mark.parametrize(
    ("made_by", "server", "reason"),
    [
        ("1.19.0", "1.19.4", ""),
        ("1.18.2", "1.19.0", ""),
        ("1.20.0", "1.19.9", "newer than the server"),
        ("2.0.0", "1.19.9", "newer than the server"),
        ("1.17.0", "1.19.0", "can't be skipped"),
        ("1.19.0", "2.0.0", "can't be skipped"),
        ("unknown", "1.19.0", "not known"),
    ],
)
def test_a_backup_fits_its_own_minor_version_and_the_next(
    made_by: str, server: str, reason: str
) -> None:
    told = {"software": "qdrant", "version": made_by}
    log: Any = Quiet()
    if not reason:
        refuse_versions(told, Server("qdrant", server, ""), log)
        return
    with pytest.raises(Refused, match=reason):
        refuse_versions(told, Server("qdrant", server, ""), log)


def test_another_product_of_the_same_version_is_named() -> None:
    log: Any = Quiet()
    told = {"software": "qdrant", "version": "1.19.0"}
    refuse_versions(told, Server("another", "1.19.0", ""), log)
    assert log.warned == ["other_software"]


def test_a_version_is_major_and_minor() -> None:
    assert minor("1.19.3-dev") == (1, 19)
