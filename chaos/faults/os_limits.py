"""Common ground of the faults that lower a resource limit of a role's running processes."""

from __future__ import annotations

import contextlib
import resource
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults.base import Proof
from chaos.faults.role_fault import RoleFault, restartable, visible
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack

_PASSES = 5
_UNLIMITED = "unlimited"


@dataclass(frozen=True)
class LimitFault(RoleFault):
    """Lowers one soft limit (``prlimit``) of every process of the role; the hard limit stays, so
    that nobody needs a privilege to raise it again."""

    limit: ClassVar[int]
    """The resource, as ``resource.RLIMIT_*``."""
    row: ClassVar[str]
    """Its row in ``/proc/<pid>/limits``."""
    needs: ClassVar[tuple[str, ...]] = ("fault", "restart")

    @abstractmethod
    def wanted(self, pid: int) -> int:
        """The new soft limit of a process."""

    def check_target(self, stack: Stack) -> None:
        """The processes are visible, ours to limit, and can be started should they die of it."""
        super().check_target(stack)
        restartable(stack)
        for pid in visible(stack).pids(self.role):
            try:
                resource.prlimit(pid, self.limit)
            except PermissionError as error:
                raise NotAllowed(
                    f"The limits of {self.role} can't be changed by this user.",
                    expected="processes of the user who runs this, or root",
                    actual=f"pid {pid}: {error}",
                ) from error
            except ProcessLookupError:
                continue

    def before(self, stack: Stack) -> dict[str, Any]:
        """The limit of the role's first process; its children have inherited the same."""
        return super().before(stack) | {"limit": self._seen(stack)}

    def inject(self, stack: Stack) -> None:
        """Lower the limit of all processes, and of those that appear meanwhile."""
        pids = visible(stack).pids(self.role)
        if not pids:
            raise TargetError(f"{self.role} is down, so there is nothing to limit.")
        original = resource.prlimit(pids[0], self.limit)
        goal = min(self.wanted(pid) for pid in pids)
        self.notes(stack).write(soft=original[0], hard=original[1], goal=goal)
        self._apply(stack, goal)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The kernel's own account (``/proc/<pid>/limits``) of each process shows less than before.

        A role that died of it counts too: it is gone, and it was answering.
        """
        seen = self._seen(stack)
        then = before["limit"]
        if not seen:
            return Proof(bool(then), {"before": then, "now": "the role died of it"})
        highest_before = max(_number(value) for value in then.values()) if then else 0
        lower = all(_number(value) < highest_before for value in seen.values())
        return Proof(lower and bool(then), {"row": self.row, "before": then, "now": seen})

    def heal(self, stack: Stack) -> None:
        """Give every process the old limit back; start the role if it died of the new one."""
        notes = self.notes(stack)
        kept = notes.read()
        if kept is None:
            return
        self._apply(stack, kept["soft"], only_below=kept["soft"])
        self.start_if_down(stack)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The kernel shows the old limit for each process, and the role answers."""
        answers = super().prove_healed(stack, before)
        seen = self._seen(stack)
        least = min((_number(value) for value in before["limit"].values()), default=0)
        whole = all(_number(value) >= least for value in seen.values())
        return Proof(answers.ok and whole and bool(seen), {"now": seen, **answers.seen})

    def _apply(self, stack: Stack, soft: int, only_below: int | None = None) -> None:
        for _ in range(_PASSES):
            pids = visible(stack).pids(self.role)
            changed = False
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    now, hard = resource.prlimit(pid, self.limit)
                    if now == soft or (only_below is not None and not _below(now, only_below)):
                        continue
                    resource.prlimit(pid, self.limit, (soft, hard))
                    changed = True
            if not changed:
                return

    def _seen(self, stack: Stack) -> dict[str, str]:
        found = {}
        for pid in visible(stack).pids(self.role):
            with contextlib.suppress(OSError):
                found[str(pid)] = soft_limit(pid, self.row)
        return found


def soft_limit(pid: int, row: str) -> str:
    """The soft limit in ``/proc/<pid>/limits``: a number or ``unlimited``; OSError if it is gone.

    Raises:
        ValueError: the kernel shows no such row.
    """
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith(row):
            return line.removeprefix(row).split()[0]
    raise ValueError(f"/proc/{pid}/limits has no row {row!r}")


def _number(value: str) -> float:
    return float("inf") if value == _UNLIMITED else float(value)


def _below(value: int, other: int) -> bool:
    if value == resource.RLIM_INFINITY:
        return False
    return other == resource.RLIM_INFINITY or value < other
