"""Memory limit: a role gets no more address space than it has, and a little."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from chaos.faults.base import in_range
from chaos.faults.os_limits import LimitFault

_MIB = 1 << 20


@dataclass(frozen=True)
class MemoryLimit(LimitFault):
    """Limits each process to the address space of the role's smallest process plus ``spare_mib``:
    allocations beyond that fail (ENOMEM), and the role has to live with it or die."""

    spare_mib: int = 8

    slug: ClassVar[str] = "memory-limit"
    sentence: ClassVar[str] = "The role's processes get no more memory than they have now."
    limit: ClassVar[int] = resource.RLIMIT_AS
    row: ClassVar[str] = "Max address space"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "spare_mib", self.spare_mib, 0, 1_048_576, "MiB")

    def wanted(self, pid: int) -> int:
        """What the process has mapped now, and the spare room (``/proc/<pid>/statm``, pages)."""
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        except (OSError, IndexError):
            return resource.RLIM_INFINITY if resource.RLIM_INFINITY > 0 else 1 << 62
        return pages * resource.getpagesize() + self.spare_mib * _MIB
