"""File-descriptor exhaustion: a role can open no further file and accept no further connection."""

from __future__ import annotations

import contextlib
import resource
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.os_limits import LimitFault
from harness.drivers.base import Stack


@dataclass(frozen=True)
class FileDescriptors(LimitFault):
    """Leaves each process of the role ``spare`` descriptors; each further one is refused (EMFILE).

    A connection still gets into the kernel's queue, but nobody takes it from there.
    """

    spare: int = 0

    slug: ClassVar[str] = "file-descriptors"
    sentence: ClassVar[str] = "The role can open no further files and take no further connections."
    limit: ClassVar[int] = resource.RLIMIT_NOFILE
    row: ClassVar[str] = "Max open files"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "spare", self.spare, 0, 1000, "descriptors")

    def wanted(self, pid: int) -> int:
        """The smallest limit below which exactly ``spare`` numbers are free: the kernel compares
        the lowest free number with it, not a count."""
        try:
            taken = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
        except OSError:
            return 1 << 20
        free, number = 0, 0
        while True:
            if number not in taken:
                if free == self.spare:
                    return number
                free += 1
            number += 1

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The kernel shows the limit, and with the spare ones held a probe gets no answer."""
        account = super().prove(stack, before)
        endpoint = stack.endpoint(self.role)
        with contextlib.ExitStack() as held:
            for _ in range(self.spare):
                with contextlib.suppress(OSError):
                    address = (endpoint.host, endpoint.port)
                    held.enter_context(socket.create_connection(address, timeout=1.0))
            seen = self.look(stack)
        fits = before["outcome"] == "answered" and seen.outcome != "answered"
        return Proof(account.ok and fits, {**account.seen, "outcome": seen.outcome})
