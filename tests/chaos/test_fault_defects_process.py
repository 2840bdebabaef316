"""Deliberate bugs in process faults, their undo, the watchdog and the residue check are caught.

Each row switches on one bug and calls the test that claims to catch it: that test must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_process_faults as processes
import test_process_faults_stores as stores
import test_watchdog as watchdog
import test_watchdog_residue as residue
from test_watchdog import Owner, owner  # noqa: F401  # a fixture

from chaos.faults import companion
from chaos.faults.toxics import ToxicControl
from fixtures.faults import Injector
from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow

Patch = Callable[[pytest.MonkeyPatch], None]
Check = Callable[[EmbeddedStack], None]


def returning(target: str, value: Any) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(target, lambda *_, **__: value)

    return patch


def stops_gently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedStack, "kill", EmbeddedStack.stop)


def stops_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedStack, "stop", EmbeddedStack.kill)


def limits_only_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    from chaos.faults.os_limits import LimitFault

    whole = LimitFault._apply

    def apply(self: LimitFault, stack: Any, soft: int, only_below: int | None = None) -> None:
        class Parent:
            def pids(self, role: str) -> tuple[int, ...]:
                return (min(stack.pids(role)),)

        monkeypatch.setattr("chaos.faults.os_limits.visible", lambda _: Parent())
        whole(self, stack, soft, only_below)
        monkeypatch.setattr("chaos.faults.os_limits.visible", lambda given: given)

    monkeypatch.setattr(LimitFault, "_apply", apply)


def holds_another_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = companion.start

    def start(kind: str, run_id: str, settings: dict[str, Any]) -> dict[str, int]:
        return whole(kind, run_id, settings | {"table": '"public"."documents"'})

    monkeypatch.setattr(companion, "start", start)


def lands(module: Any, slug: str) -> Check:
    def check(stack: EmbeddedStack) -> None:
        if module is processes:
            processes.test_a_process_fault_lands_and_heals(slug, stack)
        else:
            stores.test_a_store_fault_lands_and_heals(slug, stack)

    return check


DEFECTS: dict[str, tuple[Patch, Check]] = {
    "a limit that is never set": (
        returning("chaos.faults.os_limits.LimitFault._apply", None),
        lands(processes, "file-descriptors"),
    ),
    "a limit for the parent alone": (
        limits_only_the_parent,
        processes.test_a_limit_holds_for_every_process_and_the_hard_one_stays,
    ),
    "a kill that stops gently": (
        stops_gently,
        lambda stack: processes.test_a_killed_role_was_killed_and_comes_back("pager", stack),
    ),
    "a graceful stop that kills": (stops_by_force, lands(processes, "graceful-stop")),
    "a restart that does nothing": (
        returning("harness.drivers.embedded.stack.EmbeddedStack.restart", None),
        lands(processes, "restart"),
    ),
    "a group that nobody is put into": (
        returning("chaos.faults.cgroups.move", None),
        lambda stack: cpu_quota(stack),
    ),
    "an undo that forgets the limit": (
        returning("chaos.faults.os_limits._below", False),
        lands(processes, "memory-limit"),
    ),
    "a lock on another table": (holds_another_lock, lands(stores, "long-lock")),
    "a bit that is not flipped": (
        returning("chaos.faults.flipped_bit._put", None),
        lands(stores, "flipped-bit"),
    ),
    "settings that are not changed": (
        returning("chaos.faults.identity.SettingsFault.change", None),
        lands(stores, "retired-key"),
    ),
    "a policy that is never set": (
        returning("minio.Minio.set_bucket_policy", None),
        lambda stack: bucket(stack),
    ),
    "a corruption that stores the same": (
        returning("chaos.faults.corrupted_object.write", None),
        lands(stores, "corrupted-object"),
    ),
    "a fingerprint without processes": (
        returning("fixtures.residue._processes", {}),
        residue.test_each_thing_that_a_fault_can_leave_is_seen,
    ),
    "a comparison that finds nothing": (
        returning("fixtures.residue.difference", {}),
        lambda stack: differs(stack),
    ),
}


def cpu_quota(stack: EmbeddedStack) -> None:
    if processes.cpu_hierarchy() is None:
        pytest.skip("no control groups for this user")
    processes.test_a_quota_shows_as_processor_time_that_was_not_had(stack)


def bucket(stack: EmbeddedStack) -> None:
    lands(stores, "read-only-bucket")(stack)


def differs(stack: EmbeddedStack) -> None:
    from fixtures import residue as product

    residue.difference = product.difference
    residue.test_each_thing_that_a_fault_can_leave_is_seen(stack)


@pytest.fixture(autouse=True)
def _whole_again(fault_stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever a defect left broken is put right, with the sound code."""
    from fixtures.faults import make_fault
    from fixtures.residue import difference, fingerprint

    peace = fingerprint(fault_stack)
    monkeypatch.setattr("chaos.faults.cpu_starvation._SEEN_S", 2.0)
    monkeypatch.setattr("chaos.faults.read_only_bucket._SEEN_S", 1.0)
    stores.objects.write(fault_stack, "faults/one", b"content" * 999)
    yield
    monkeypatch.undo()
    residue.difference = difference
    for slug, arguments in {**processes.EXAMPLES, **stores.EXAMPLES}.items():
        make_fault(slug, **arguments).heal(fault_stack)
    fault_stack.resume("pager")
    ToxicControl(fault_stack).remove("alerts-pager", "left")
    if difference(peace, fingerprint(fault_stack)):
        # What the bug forgot, sound code cannot know.
        fault_stack.restart("pager")
    assert difference(peace, fingerprint(fault_stack)) == {}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_caught_by_its_test(
    name: str, fault_stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, check = DEFECTS[name]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        check(fault_stack)


def test_a_watchdog_that_never_fires_is_caught(
    tmp_path: Path,
    owner: Owner,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blind = "import harness.drivers.watchdog as w\nw.orders_in = lambda directory: {}\n"
    (tmp_path / "sitecustomize.py").write_text(blind)
    path = f"{tmp_path}:{Path(__file__).parent}"
    monkeypatch.setenv("PYTHONPATH", path)
    whole = watchdog.eventually
    monkeypatch.setattr(watchdog, "eventually", lambda check: whole(check, 3.0))
    with pytest.raises(AssertionError):
        watchdog.test_it_undoes_everything_newest_first_when_its_owner_is_killed(tmp_path, owner)


def test_a_residue_check_that_is_never_made_is_caught(
    fault_stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fault_owner import run_of

    from harness.core.history import History

    made = Injector(fault_stack, run_of(fault_stack, tmp_path), History(tmp_path))
    monkeypatch.setattr(made.residue, "look", dict)
    monkeypatch.setattr(made.residue, "start", lambda: None)
    monkeypatch.setattr(made.lease, "hold", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        residue.test_an_undo_that_forgets_is_caught_by_the_residue(made, tmp_path, monkeypatch)
