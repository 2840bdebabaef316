"""CPU starvation: a role gets only a small share of a processor."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults import companion
from chaos.faults.base import Proof, in_range
from chaos.faults.cgroups import CpuGroup, cpu_hierarchy, move
from chaos.faults.role_fault import RoleFault, visible
from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.drivers.base import Stack

HOWS = ("auto", "quota", "load")
_SEEN_S = 20.0


@dataclass(frozen=True)
class CpuStarvation(RoleFault):
    """Holds the role's processes to ``share`` of one processor.

    ``how``: ``quota`` is a control group of the kernel; ``load`` starts busy processes on every
    processor that the role may use (then ``share`` is what it gets at most once it is as busy as
    they are, and other programs of the machine suffer too); ``auto`` takes the quota where this
    user may make control groups, else the load.
    """

    share: float = 0.05
    how: str = "auto"

    slug: ClassVar[str] = "cpu-starvation"
    sentence: ClassVar[str] = "The role gets only a small share of one processor."

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "share", self.share, 0.01, 1, "of one processor")
        if self.how not in HOWS:
            raise UsageError(
                f"The fault {self.slug!r} can't be injected this way.",
                expected=", ".join(HOWS),
                actual=repr(self.how),
            )

    def check_target(self, stack: Stack) -> None:
        """The processes are visible, and a quota is allowed if one is asked for."""
        super().check_target(stack)
        visible(stack)
        if self.how == "quota" and cpu_hierarchy() is None:
            raise NotAllowed(
                "This user may make no control groups with a processor quota.",
                expected="a writable cgroup hierarchy with the controller cpu",
                actual="none",
                next_step='how = "load" competes for the processor instead',
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """How long the role has waited for a processor so far (seconds)."""
        return super().before(stack) | {"waited": waited_s(visible(stack).pids(self.role))}

    def inject(self, stack: Stack) -> None:
        """Move the processes into a group with a quota, or start the competing load."""
        pids = visible(stack).pids(self.role)
        if not pids:
            raise TargetError(f"{self.role} is down, so there is nothing to starve.")
        notes = self.notes(stack)
        hierarchy = None if self.how == "load" else cpu_hierarchy()
        if hierarchy is None:
            workers = max(1, round(1 / self.share) - 1)
            cpus = sorted(os.sched_getaffinity(pids[0])) * workers
            running = companion.start("hog", stack.run_id, {"cpus": cpus, "nice": 0})
            notes.write(how="load", companion=running, workers=len(cpus))
            return
        group = self._group(stack.run_id)
        assert group is not None
        notes.write(how="quota", home=str(hierarchy.path_of(pids[0])))
        group.make(self.share)
        self._gather(stack, group)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Under probes, the kernel says that it held the role back (or let it wait longer)."""
        kept = self.notes(stack).read()
        if kept is None:
            return Proof(False, {"seen": "not injected"})
        deadline = time.monotonic() + _SEEN_S
        group = self._group(stack.run_id) if kept["how"] == "quota" else None
        held, waited = 0, 0.0
        while time.monotonic() < deadline:
            self.look(stack)
            pids = visible(stack).pids(self.role)
            if group is not None:
                held = group.throttled()
                inside = set(pids) <= set(group.pids())
                if held > 0 and inside:
                    seen = {"how": "quota", "periods held back": held, "processes": len(pids)}
                    return Proof(True, seen)
            else:
                waited = waited_s(pids) - before["waited"]
                if waited > 0.005 and companion.alive(kept["companion"]):
                    return Proof(True, {"how": "load", "waited for a processor (s)": waited})
        return Proof(False, {"how": kept["how"], "held back": held, "waited (s)": waited})

    def heal(self, stack: Stack) -> None:
        """Move the processes home and remove the group; end the load."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        if kept["how"] == "load":
            companion.end(kept["companion"])
        else:
            self._empty(stack.run_id, Path(kept["home"]))
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """No group and no load is left, and the role answers."""
        answers = super().prove_healed(stack, before)
        group = self._group(stack.run_id)
        left = group is not None and group.path.exists()
        on = self.notes(stack).read() is not None
        return Proof(answers.ok and not left and not on, {"group left": left, **answers.seen})

    def release(self, run_id: str, scratch: Path) -> list[str]:
        """Remove the control group, which outlives the processes that were in it."""
        group = self._group(run_id)
        if group is None or not group.path.exists():
            return []
        self._empty(run_id, group.hierarchy.root)
        return [f"control group {group.path.name}"]

    def _group(self, run_id: str) -> CpuGroup | None:
        hierarchy = cpu_hierarchy()
        return hierarchy.group(f"ragdrill-{run_id}-{self.role}") if hierarchy else None

    def _gather(self, stack: Stack, group: CpuGroup) -> None:
        for _ in range(5):
            outside = set(visible(stack).pids(self.role)) - set(group.pids())
            if not outside:
                return
            for pid in outside:
                group.add(pid)

    def _empty(self, run_id: str, home: Path) -> None:
        group = self._group(run_id)
        if group is None:
            return
        for _ in range(5):
            for pid in group.pids():
                move(pid, home if home.exists() else group.hierarchy.root)
        group.remove()


def waited_s(pids: tuple[int, ...]) -> float:
    """Seconds that all threads of these processes have waited for a processor
    (``/proc/<pid>/task/*/schedstat``, second field, nanoseconds)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError, IndexError):
                    total += int((task / "schedstat").read_text().split()[1])
    return total / 1e9
