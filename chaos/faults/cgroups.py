"""Control groups that cap the processor time of processes: version 1 and 2, where writable."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

_PERIOD_US = 100_000
_EMPTY_S = 5.0


@dataclass(frozen=True)
class CpuHierarchy:
    """Where groups with a processor quota can be made."""

    root: Path
    version: int

    def group(self, name: str) -> CpuGroup:
        """A group of this name; not made yet."""
        return CpuGroup(self.root / name, self)

    def path_of(self, pid: int) -> Path:
        """The group that a process is in now; raises OSError if it is gone."""
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if (self.version == 2 and controllers == "") or "cpu" in controllers.split(","):
                return self.root / path.lstrip("/")
        return self.root


@dataclass(frozen=True)
class CpuGroup:
    """One group. Its name holds the run id, so that nobody takes away another run's."""

    path: Path
    hierarchy: CpuHierarchy

    def make(self, share: float) -> None:
        """Make the group with a quota of ``share`` processors; raises OSError."""
        self.path.mkdir(exist_ok=True)
        quota = max(1000, round(share * _PERIOD_US))
        if self.hierarchy.version == 2:
            (self.path / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (self.path / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))

    def add(self, pid: int) -> None:
        """Move a process with all its threads into the group; one that is gone is no error."""
        move(pid, self.path)

    def pids(self) -> list[int]:
        """The processes in it; empty when there is no such group."""
        try:
            return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def throttled(self) -> int:
        """In how many periods the kernel has held its processes back."""
        for line in (self.path / "cpu.stat").read_text().splitlines():
            if line.startswith("nr_throttled "):
                return int(line.split()[1])
        return 0

    def remove(self) -> bool:
        """Remove the group once it is empty; whether there was one. Raises OSError if it stays."""
        deadline = time.monotonic() + _EMPTY_S
        while True:
            try:
                self.path.rmdir()
                return True
            except FileNotFoundError:
                return False
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def move(pid: int, group: Path) -> None:
    """Move a process into a group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        (group / "cgroup.procs").write_text(str(pid))


def cpu_hierarchy() -> CpuHierarchy | None:
    """Where this user may make groups with a processor quota, or ``None``."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point, kind = Path(before.split()[4]), after.split()[0]
        options = set(after.split()[2].split(","))
        if kind == "cgroup" and "cpu" in options and _usable(CpuHierarchy(point, 1)):
            return CpuHierarchy(point, 1)
        if kind == "cgroup2" and _usable(CpuHierarchy(point, 2)):
            return CpuHierarchy(point, 2)
    return None


def _usable(hierarchy: CpuHierarchy) -> bool:
    """Try it, since mount options and permissions do not tell."""
    probe = hierarchy.group(f"ragdrill-probe-{os.getpid()}")
    try:
        probe.make(1.0)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.path.rmdir()
    return True
