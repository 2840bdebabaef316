"""File-size limit: the writes of a role fail, as over a quota."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import ClassVar

from chaos.faults.base import in_range
from chaos.faults.os_limits import LimitFault


@dataclass(frozen=True)
class FileSizeLimit(LimitFault):
    """Lets the role's processes write no file beyond ``kib``: each write past it fails with EFBIG,
    in existing files too. A program that does not ignore SIGXFSZ dies of the first (Go programs
    do; Python and PostgreSQL ignore it). The stand-in for a full disk where nobody may mount."""

    kib: int = 0

    slug: ClassVar[str] = "file-size-limit"
    sentence: ClassVar[str] = "The role's writes to files fail, as over a quota (EFBIG)."
    limit: ClassVar[int] = resource.RLIMIT_FSIZE
    row: ClassVar[str] = "Max file size"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "kib", self.kib, 0, 1 << 30, "KiB")

    def wanted(self, pid: int) -> int:
        """The same for every process."""
        return self.kib * 1024
