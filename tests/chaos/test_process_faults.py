"""Faults of processes land on real ones, are seen by the operating system, and heal."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_rounds import round_trip

from chaos.faults import companion
from chaos.faults.cgroups import cpu_hierarchy
from chaos.faults.cpu_starvation import CpuStarvation
from chaos.faults.file_descriptors import FileDescriptors
from chaos.faults.graceful_stop import GracefulStop
from chaos.faults.kill import KillRole
from chaos.faults.memory_limit import MemoryLimit
from chaos.faults.os_limits import soft_limit
from fixtures.faults import make_fault
from harness.core.errors import NotAllowed, UsageError
from harness.drivers.attach import AttachedStack
from harness.drivers.embedded import procfs
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

EXAMPLES: dict[str, dict[str, object]] = {
    "kill-two": {"role": "pager", "other": "rerank", "apart_s": 0.1},
    "graceful-stop": {"role": "pager"},
    "restart": {"role": "pager"},
    "crash-loop": {"role": "pager", "up_s": 0.2},
    "slow-start": {"role": "pager", "delay_s": 20},
    "memory-limit": {"role": "pager", "spare_mib": 4},
    "cpu-starvation": {"role": "pager", "share": 0.02},
    "file-descriptors": {"role": "pager"},
}


@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_process_fault_lands_and_heals(slug: str, fault_stack: EmbeddedStack) -> None:
    round_trip(make_fault(slug, **EXAMPLES[slug]), fault_stack)


@pytest.mark.parametrize("slug", sorted(set(EXAMPLES) - {"crash-loop"}))
def test_a_process_fault_that_was_never_injected_is_not_proven(
    slug: str, fault_stack: EmbeddedStack
) -> None:
    fault = make_fault(slug, **EXAMPLES[slug])
    before = fault.before(fault_stack)
    assert not fault.prove(fault_stack, before).ok


@pytest.mark.parametrize("role", ["metadata", "pager"])
def test_a_killed_role_was_killed_and_comes_back(role: str, fault_stack: EmbeddedStack) -> None:
    landed = round_trip(KillRole(role), fault_stack)
    assert landed.seen["exit"] == -signal.SIGKILL


def test_a_role_that_was_asked_to_stop_does_not_count_as_killed(fault_stack: EmbeddedStack) -> None:
    kill = KillRole("pager")
    before = kill.before(fault_stack)
    fault_stack.stop("pager")
    try:
        proof = kill.prove(fault_stack, before)
    finally:
        kill.heal(fault_stack)
    assert not proof.ok and proof.seen["now"] == "refused", proof.seen


def test_a_role_that_had_to_be_killed_does_not_count_as_stopped(fault_stack: EmbeddedStack) -> None:
    stop = GracefulStop("pager")
    before = stop.before(fault_stack)
    fault_stack.kill("pager")
    try:
        assert not stop.prove(fault_stack, before).ok
    finally:
        stop.heal(fault_stack)


def test_a_limit_holds_for_every_process_and_the_hard_one_stays(fault_stack: EmbeddedStack) -> None:
    fault = FileDescriptors("metadata")
    hard = {pid: resource.prlimit(pid, fault.limit)[1] for pid in fault_stack.pids("metadata")}
    assert len(hard) > 3, "PostgreSQL has helpers"
    before = fault.before(fault_stack)
    fault.inject(fault_stack)
    try:
        now = {pid: soft_limit(pid, fault.row) for pid in fault_stack.pids("metadata")}
        assert len(set(now.values())) == 1 and int(next(iter(now.values()))) < 200
        for pid, limit in hard.items():
            if procfs.is_alive(pid):
                assert resource.prlimit(pid, fault.limit)[1] == limit
    finally:
        fault.heal(fault_stack)
    assert fault.prove_healed(fault_stack, before).ok


def test_under_a_memory_limit_allocations_fail_where_they_worked_before() -> None:
    code = (
        "import sys\n"
        "for line in sys.stdin:\n"
        "    try:\n        bytearray(64 << 20); print('got it', flush=True)\n"
        "    except MemoryError:\n        print('refused', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask() -> str:
            print("again", file=process.stdin, flush=True)
            return process.stdout.readline().strip()

        assert ask() == "got it"
        fault = MemoryLimit("pager", spare_mib=8)
        resource.prlimit(process.pid, fault.limit, (fault.wanted(process.pid), -1))
        assert ask() == "refused"
        process.stdin.close()


@pytest.mark.skipif(cpu_hierarchy() is None, reason="no control groups for this user")
def test_a_quota_shows_as_processor_time_that_was_not_had(fault_stack: EmbeddedStack) -> None:
    fault = CpuStarvation("embed", share=0.02, how="quota")
    landed = round_trip(fault, fault_stack)
    assert landed.seen["how"] == "quota" and landed.seen["periods held back"] > 0
    root = cpu_hierarchy()
    assert root is not None and not list(root.root.glob(f"ragdrill-{fault_stack.run_id}*"))


def test_where_no_quota_is_allowed_a_load_competes_and_ends(fault_stack: EmbeddedStack) -> None:
    fault = CpuStarvation("pager", share=0.5, how="load")
    before = fault.before(fault_stack)
    fault.inject(fault_stack)
    kept = fault.notes(fault_stack).read()
    assert kept is not None
    workers = procfs.descendants([kept["companion"]["pid"]], procfs.table())
    try:
        assert fault.prove(fault_stack, before).ok
        assert len(workers) == kept["workers"]
    finally:
        fault.heal(fault_stack)
    assert not any(procfs.is_alive(pid) for pid in workers)


def test_a_companion_does_not_outlive_who_started_it() -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]);"
        "from chaos.faults import companion;"
        "print(companion.start('hog', 'r', {'cpus': [0, 0], 'nice': 19})['pid'], flush=True);"
        "time.sleep(300)"
    )
    root = str(Path(companion.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code, root], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        family = procfs.descendants([pid], procfs.table())
        assert len(family) == 2
        process.kill()
    deadline = time.monotonic() + 5
    while any(procfs.is_alive(each) for each in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(procfs.is_alive(each) for each in family)


def test_a_companion_that_cannot_hold_anything_says_so() -> None:
    dsn = "postgresql://nobody@127.0.0.1:1/none"
    with pytest.raises(companion.CompanionError, match="OperationalError"):
        companion.start("connections", "r", {"dsn": dsn, "most": 1})


def test_a_companion_is_never_mistaken_for_a_later_process_of_its_number() -> None:
    mine = {"pid": os.getpid(), "start": 1}
    assert not companion.alive(mine)
    companion.end(mine)
    assert procfs.is_alive(os.getpid())


@pytest.mark.parametrize(
    ("slug", "arguments", "told"),
    [
        ("crash-loop", {"role": "pager", "up_s": 0}, "0.1 to 60 s"),
        ("slow-start", {"role": "pager", "delay_s": 46}, "1 to 45 s"),
        ("memory-limit", {"role": "pager", "spare_mib": -1}, "MiB"),
        ("cpu-starvation", {"role": "pager", "share": 0}, "of one processor"),
        ("cpu-starvation", {"role": "pager", "how": "magic"}, "auto, quota, load"),
        ("file-descriptors", {"role": "pager", "spare": 1001}, "descriptors"),
        ("graceful-stop", {"role": "frontend"}, "vectordb"),
    ],
)
def test_bad_arguments_of_process_faults_are_refused(
    slug: str, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_fault(slug, **arguments)
    assert told in str(caught.value)


@pytest.mark.parametrize("slug", sorted({*EXAMPLES, "kill", "pause"}))
def test_a_target_that_we_only_reach_by_address_refuses_process_faults(
    slug: str, attached: AttachedStack
) -> None:
    fault = make_fault(slug, **EXAMPLES.get(slug, {"role": "pager"}))
    with pytest.raises(NotAllowed):
        fault.check_target(attached)


def test_a_target_that_does_not_permit_faults_is_not_touched(fault_stack: EmbeddedStack) -> None:
    reading = EmbeddedStack.attach(fault_stack.scratch / "stack.json")
    reading.allow = frozenset({"read", "fault"})
    with pytest.raises(NotAllowed, match="restart"):
        make_fault("restart", role="pager").check_target(reading)


@pytest.fixture
def attached(tmp_path: Path, fault_stack: EmbeddedStack) -> AttachedStack:
    """The same pager, known by its address alone."""
    from harness.core.target import TargetFile

    url = fault_stack.endpoint("pager").url
    target = TargetFile.model_validate(
        {
            "target": {"name": "far", "driver": "attach", "allow": ["read", "restart", "fault"]},
            "roles": {"pager": {"url": url}},
        }
    )
    return AttachedStack("run", tmp_path, target)
