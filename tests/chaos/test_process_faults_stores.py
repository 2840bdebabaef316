"""Faults of storage, database, identity and time land on real stores and services, and heal."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from fault_rounds import round_trip

from chaos.faults import mounts, objects
from chaos.faults.flipped_bit import FlippedBit
from chaos.faults.full_disk import FullDisk
from chaos.faults.truncated_file import TruncatedFile
from fixtures.faults import make_fault
from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

EXAMPLES: dict[str, dict[str, object]] = {
    "full-disk": {"role": "pager", "spare_kib": 64},
    "file-size-limit": {"role": "pager"},
    "read-only-directory": {"role": "pager"},
    "flipped-bit": {"role": "metadata", "file": "base/1/2619"},
    "truncated-file": {"role": "metadata", "file": "base/1/2619", "cut_bytes": 8192},
    "deleted-wal-segment": {"where": "live"},
    "missing-object": {"prefix": "faults/"},
    "corrupted-object": {"prefix": "faults/"},
    "read-only-bucket": {},
    "connection-exhaustion": {},
    "long-lock": {"table": "public.chunks"},
    "failing-archive": {},
    "expired-token": {"life_s": 3},
    "retired-key": {},
    "rotated-credential": {"role": "rerank"},
    "clock-skew": {"role": "auth", "skew_s": 3600},
}
NEEDS_MOUNT = {"full-disk"}
STILL = sorted(set(EXAMPLES) - {"expired-token", "failing-archive", "read-only-bucket"})
"""Looking at the others for an effect that is not there takes as long as it takes to come."""


@pytest.fixture(autouse=True)
def _something_to_break(fault_stack: EmbeddedStack) -> None:
    if objects.read(fault_stack, "faults/one") is None:
        objects.write(fault_stack, "faults/one", secrets.token_bytes(20_000))
    if not (fault_stack.volume("pager") / "deliveries.jsonl").stat().st_size:
        assert deliver(fault_stack).status_code == 200


def deliver(stack: EmbeddedStack) -> httpx.Response:
    body = {"receiver": "test", "status": "firing", "alerts": [], "note": "x" * 400}
    return httpx.post(stack.endpoint("pager").url + "/test", json=body, timeout=5, trust_env=False)


@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_store_fault_lands_and_heals(slug: str, fault_stack: EmbeddedStack) -> None:
    if slug in NEEDS_MOUNT and not mounts.mounting_works():
        pytest.skip("this user may not mount")
    round_trip(make_fault(slug, **EXAMPLES[slug]), fault_stack)


@pytest.mark.parametrize("slug", STILL)
def test_a_store_fault_that_was_never_injected_is_not_proven(
    slug: str, fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **EXAMPLES[slug])
    before = fault.before(fault_stack)
    assert not fault.prove(fault_stack, before).ok


def test_a_segment_of_the_archive_is_gone_from_the_bucket_until_it_is_healed(
    fault_stack: EmbeddedStack,
) -> None:
    with psycopg.connect(fault_stack.credentials("metadata")["operator_dsn"]) as database:
        database.execute("SELECT pg_switch_wal()")
    fault = make_fault("deleted-wal-segment", where="archive")
    deadline = time.monotonic() + 60
    while True:
        try:
            before = fault.before(fault_stack)
            break
        except TargetError:
            assert time.monotonic() < deadline, "no segment was archived"
            time.sleep(0.2)
    assert before["metadata"]["sha256"] == objects.digest(fault_stack, before["key"])
    landed = round_trip(fault, fault_stack)
    assert landed.seen["there"] == {"file": False, "object": False}
    assert objects.metadata(fault_stack, before["key"]) == before["metadata"]
    assert objects.digest(fault_stack, before["key"]) == before["metadata"]["sha256"]


@pytest.mark.skipif(not mounts.mounting_works(), reason="this user may not mount")
def test_on_a_full_disk_the_role_cannot_write_and_loses_nothing(fault_stack: EmbeddedStack) -> None:
    journal = fault_stack.volume("pager") / "deliveries.jsonl"
    written = journal.read_bytes()
    fault = FullDisk("pager")
    before = fault.before(fault_stack)
    fault.inject(fault_stack)
    try:
        statuses = {deliver(fault_stack).status_code for _ in range(200)}
        assert max(statuses) >= 500, "the page that was there fills up, then writes fail"
        fault.heal(fault_stack)
        assert fault.prove_healed(fault_stack, before).ok
    finally:
        fault.heal(fault_stack)
    assert journal.read_bytes().startswith(written)
    assert deliver(fault_stack).status_code == 200
    assert not [each for each in mounts.mounts() if fault_stack.scratch in each.parents]


@pytest.mark.skipif(not mounts.mounting_works(), reason="this user may not mount")
def test_a_move_to_the_small_disk_that_was_cut_off_keeps_the_old_data(
    fault_stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = fault_stack.volume("pager") / "deliveries.jsonl"
    written = journal.read_bytes()

    def half(source: Path, target: Path) -> None:
        (target / "deliveries.jsonl").write_bytes(written[: len(written) // 2])
        raise OSError("cut off")

    monkeypatch.setattr("chaos.faults.full_disk._copy", half)
    fault = FullDisk("pager")
    before = fault.before(fault_stack)
    with pytest.raises(OSError, match="cut off"):
        fault.inject(fault_stack)
    monkeypatch.undo()
    fault.heal(fault_stack)
    assert fault.prove_healed(fault_stack, before).ok
    assert journal.read_bytes() == written


def test_under_a_file_size_limit_the_role_cannot_write(fault_stack: EmbeddedStack) -> None:
    fault = make_fault("file-size-limit", role="pager")
    fault.inject(fault_stack)
    try:
        assert deliver(fault_stack).status_code >= 500
    finally:
        fault.heal(fault_stack)
    assert deliver(fault_stack).status_code == 200


def test_a_truncated_file_that_was_written_to_is_not_glued_together(
    fault_stack: EmbeddedStack,
) -> None:
    target = fault_stack.volume("pager") / "spare.bin"
    target.write_bytes(b"0123456789")
    fault = TruncatedFile("pager", file="spare.bin", cut_bytes=4)
    fault.inject(fault_stack)
    try:
        assert target.read_bytes() == b"012345"
        target.write_bytes(b"0123456")
        with pytest.raises(TargetError, match="written to since"):
            fault.heal(fault_stack)
        assert fault.notes(fault_stack).kept.read_bytes() == b"6789"
    finally:
        fault.notes(fault_stack).forget()
        target.unlink()


def test_a_flipped_bit_is_one_bit_and_a_rewritten_file_is_left_alone(
    fault_stack: EmbeddedStack,
) -> None:
    target = fault_stack.volume("pager") / "spare.bin"
    target.write_bytes(bytes(100))
    fault = FlippedBit("pager", file="spare.bin", offset=7, bit=3)
    try:
        fault.inject(fault_stack)
        assert target.read_bytes() == bytes(7) + b"\x08" + bytes(92)
        target.write_bytes(b"anew " * 10)
        fault.heal(fault_stack)
        assert target.read_bytes() == b"anew " * 10
    finally:
        fault.heal(fault_stack)
        target.unlink()


def test_connections_that_become_free_are_taken_too(fault_stack: EmbeddedStack) -> None:
    admin = fault_stack.credentials("metadata")["admin_dsn"]
    fault = make_fault("connection-exhaustion")
    before = fault.before(fault_stack)
    fault.inject(fault_stack)
    try:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'rag_gateway' AND pid IN (SELECT pid FROM pg_stat_activity "
                "WHERE usename = 'rag_gateway' LIMIT 3)"
            )
        time.sleep(0.3)
        assert fault.prove(fault_stack, before).ok
    finally:
        fault.heal(fault_stack)


@pytest.mark.parametrize(
    ("slug", "arguments", "told"),
    [
        ("full-disk", {"role": "pager", "spare_kib": -1}, "KiB"),
        ("read-only-directory", {"role": "pager", "path": "../vectordb"}, "below it"),
        ("flipped-bit", {"role": "pager", "file": "/etc/passwd"}, "below it"),
        ("flipped-bit", {"role": "pager", "file": "x", "bit": 8}, "0 to 7"),
        ("truncated-file", {"role": "pager", "file": "x", "cut_bytes": 0}, "bytes"),
        ("deleted-wal-segment", {"where": "elsewhere"}, "archive, live"),
        ("missing-object", {"prefix": ""}, "prefix"),
        ("connection-exhaustion", {"most": 0}, "connections"),
        ("long-lock", {"table": "chunks; DROP"}, "schema.name"),
        ("long-lock", {"mode": "NONE"}, "ACCESS EXCLUSIVE"),
        ("expired-token", {"role": "embed"}, "auth"),
        ("rotated-credential", {"role": "gateway"}, "vectordb"),
        ("clock-skew", {"role": "auth", "skew_s": 3}, "at least 10 s"),
    ],
)
def test_bad_arguments_of_store_faults_are_refused(
    slug: str, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_fault(slug, **arguments)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told_before_anything_breaks(
    fault_stack: EmbeddedStack,
) -> None:
    fault = make_fault("flipped-bit", role="pager", file="nothing-*.bin")
    with pytest.raises(TargetError, match=r"nothing-\*\.bin"):
        fault.before(fault_stack)


def test_the_clock_of_a_role_that_can_not_be_shifted_is_refused(
    fault_stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.faults.clock_skew.library", lambda: None)
    with pytest.raises(NotAllowed):
        make_fault("clock-skew", role="metadata", skew_s=60).check_target(fault_stack)
