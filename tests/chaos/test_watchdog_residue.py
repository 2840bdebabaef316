"""What a fault leaves is seen by another process, and ends the run's touching of the target."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fault_owner import run_of

from chaos.faults import companion, mounts
from chaos.faults.file_descriptors import FileDescriptors
from chaos.faults.latency import Latency
from chaos.faults.pause import PauseRole
from chaos.faults.toxics import ToxicControl
from fixtures.faults import FaultNeverLanded, Injector, heal_abandoned
from fixtures.residue import Residue, _processes, difference, fingerprint
from harness.core.errors import NotAllowed, TargetError
from harness.core.history import History, read_history
from harness.drivers.base import ProcessIds
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

LINK = {"link": "alerts-pager", "latency_ms": 200}


@pytest.fixture
def injector(fault_stack: EmbeddedStack, tmp_path: Path) -> Iterator[Injector]:
    made = Injector(fault_stack, run_of(fault_stack, tmp_path), History(tmp_path))
    yield made
    made.close()
    (fault_stack.scratch / "unhealed.txt").unlink(missing_ok=True)


@pytest.fixture
def quick(injector: Injector, monkeypatch: pytest.MonkeyPatch) -> Injector:
    """Looks from this process and has no watchdog: both are tested elsewhere, and take seconds."""
    monkeypatch.setattr(injector.residue, "look", lambda: fingerprint(injector.stack))
    monkeypatch.setattr(injector.residue, "start", lambda: None)
    monkeypatch.setattr(injector.lease, "hold", lambda *_: None)
    return injector


def kinds(directory: Path) -> list[str]:
    return [record.kind for record in read_history(directory)]


def test_peace_looks_the_same_twice(fault_stack: EmbeddedStack) -> None:
    assert difference(fingerprint(fault_stack), fingerprint(fault_stack)) == {}


def test_a_process_that_ended_and_is_not_reaped_is_no_residue() -> None:
    class Role:
        def __init__(self, *pids: int) -> None:
            self.pids = lambda role: pids

    with subprocess.Popen(["sleep", "60"]) as living, subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        alone, both = (
            _processes(cast("ProcessIds", Role(*pids)), "vectordb")
            for pids in ((living.pid,), (living.pid, ended.pid))
        )
        gone = _processes(cast("ProcessIds", Role(ended.pid)), "vectordb")
        living.kill()
    assert alone["up"]
    assert alone == both
    assert not gone["up"]


def test_each_thing_that_a_fault_can_leave_is_seen(fault_stack: EmbeddedStack) -> None:
    peace = fingerprint(fault_stack)

    def seen() -> set[str]:
        return set(difference(peace, fingerprint(fault_stack)))

    control = ToxicControl(fault_stack)
    control.add("alerts-pager", "left", "latency", "downstream", {"latency": 1})
    assert seen() == {"proxies/alerts-pager"}
    control.remove("alerts-pager", "left")

    control.enable("alerts-pager", False)
    assert seen() == {"proxies/alerts-pager"}
    control.enable("alerts-pager", True)

    fault_stack.pause("pager")
    assert seen() == {"processes/pager"}
    fault_stack.resume("pager")

    pid = min(fault_stack.pids("pager"))
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft - 1, hard))
    assert seen() == {"processes/pager"}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    fault_stack.restart("rerank", {"RERANK_API_KEYS": "another-key-0001"})
    assert seen() == {"settings/rerank"}
    fault_stack.restart(
        "rerank", {"RERANK_API_KEYS": fault_stack.processes.secrets.values["rerank_api_key"]}
    )

    left = companion.start("hog", fault_stack.run_id, {"cpus": [0], "nice": 19})
    assert seen() == {"machine/companions"}
    companion.end(left)

    auto = fault_stack.volume("metadata") / "postgresql.auto.conf"
    before = auto.read_bytes()
    auto.write_bytes(before + b"archive_command = '/bin/false'\n")
    assert seen() == {"files/metadata/postgresql.auto.conf"}
    auto.write_bytes(before)

    if mounts.mounting_works():
        mounts.mount_read_only(fault_stack.volume("pager").resolve())
        assert seen() == {"machine/mounts"}
        mounts.unmount(fault_stack.volume("pager").resolve())

    assert seen() == set()


def test_a_process_of_its_own_looks(fault_stack: EmbeddedStack) -> None:
    residue = Residue(fault_stack, "embedded", fault_stack.scratch / "stack.json")
    try:
        peace = residue.look()
        fault_stack.pause("pager")
        changed = set(difference(peace, residue.look()))
        fault_stack.resume("pager")
        assert changed == {"processes/pager"}
        assert residue._process is not None and residue._process.pid != os.getpid()
    finally:
        fault_stack.resume("pager")
        residue.close()


def test_a_check_that_looked_at_nothing_is_an_error(
    fault_stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = "import sys\nfor _ in sys.stdin: print('{\"found\": {}}', flush=True)"
    monkeypatch.setattr("fixtures.residue.CHECKOUT", tmp_path)
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "__init__.py").write_text("")
    (tmp_path / "fixtures" / "residue.py").write_text(blind)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    residue = Residue(fault_stack, "embedded", fault_stack.scratch / "stack.json")
    try:
        with pytest.raises(TargetError, match="too little"):
            residue.look()
    finally:
        residue.close()


def test_an_undo_that_forgets_is_caught_by_the_residue(
    quick: Injector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the fault itself swears that it is healed."""
    stack = quick.stack
    monkeypatch.setattr(FileDescriptors, "heal", lambda self, stack: None)
    monkeypatch.setattr(
        FileDescriptors, "prove_healed", lambda self, stack, before: self.prove(stack, before)
    )
    with (
        pytest.raises(TargetError, match="could not be healed"),
        quick.inject("file-descriptors", role="pager"),
    ):
        pass
    monkeypatch.undo()
    FileDescriptors("pager").heal(stack)
    assert "processes/pager" in (stack.scratch / "unhealed.txt").read_text()


def test_a_fault_is_healed_when_the_case_fails_and_when_it_is_interrupted(
    quick: Injector, tmp_path: Path
) -> None:
    for error in (AssertionError, KeyboardInterrupt):
        with pytest.raises(error), quick.inject("latency", **LINK):
            raise error
        assert ToxicControl(quick.stack).state()["alerts-pager"]["toxics"] == []
    assert kinds(tmp_path).count("fault.healed") == 2


def test_an_inert_fault_is_never_entered_and_leaves_nothing(
    quick: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Latency, "inject", lambda self, stack: None)
    with pytest.raises(FaultNeverLanded), quick.inject("latency", **LINK):
        raise AssertionError("entered without proof")


def test_set_up_heals_what_an_earlier_use_left(quick: Injector) -> None:
    os.kill(min(quick.stack.pids("pager")), signal.SIGSTOP)  # type: ignore[attr-defined]
    with quick.inject("pause", role="pager"):
        pass
    assert PauseRole("pager").look(quick.stack).outcome == "answered"


def test_a_target_that_can_not_have_the_fault_is_never_touched(
    quick: Injector, tmp_path: Path
) -> None:
    quick.stack = EmbeddedStack.attach(quick.run.state_file)
    quick.stack.allow = frozenset({"read"})
    with pytest.raises(NotAllowed), quick.inject("pause", role="pager"):
        pass
    assert kinds(tmp_path) == []


def test_a_fault_that_the_watchdog_undid_meanwhile_is_an_error(
    quick: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(TargetError, match="watchdog undid the fault"),
        quick.inject("latency", **LINK),
    ):
        monkeypatch.setattr(quick.lease, "undone", lambda _: {"healed": True, "seen": {}})


def test_what_a_dead_run_left_is_undone_and_written_down(quick: Injector, tmp_path: Path) -> None:
    from chaos.faults.undo import order

    fault = Latency("alerts-pager", latency_ms=200)
    before = fault.before(quick.stack)
    fault.inject(quick.stack)
    left = order(fault, before, quick.stack, "embedded", quick.run.state_file)
    for name, run_id in (("run.lease-1", "dead"), ("run.lease-2", quick.stack.run_id)):
        (tmp_path / name / "orders").mkdir(parents=True)
        (tmp_path / name / "owner.json").write_text(json.dumps({"pid": 1, "start": 1}))
        text = json.dumps(left | {"run_id": run_id})
        (tmp_path / name / "orders" / "one.json").write_text(text)
    heal_abandoned(tmp_path, quick.stack, quick.history)
    assert ToxicControl(quick.stack).state()["alerts-pager"]["toxics"] == []
    assert kinds(tmp_path) == ["note"]
    assert not (tmp_path / "run.lease-1").exists() and (tmp_path / "run.lease-2").exists()
