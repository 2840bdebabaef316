"""Clock skew: one component believes that it is another time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx

from chaos.faults.base import Proof, in_range
from chaos.faults.identity import SettingsFault, settings_of
from chaos.faults.role_fault import visible
from harness.core.errors import NotAllowed, UsageError
from harness.drivers.base import Stack

SHIM = Path(__file__).with_name("skewed_clock")
VARIABLE = "RAGDRILL_CLOCK_SKEW_S"
_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")
_LEAST_S = 10
_SEEN_S = 5.0


@dataclass(frozen=True)
class ClockSkew(SettingsFault):
    """Restarts the role with a clock that is ``skew_s`` seconds ahead (negative: behind).

    With libfaketime where it is installed. Else, for roles that run on Python, by a shim that
    shifts ``time.time`` and ``time.time_ns``, from which services of ours take the times in tokens
    and headers; ``datetime.now`` keeps the true time then.
    """

    skew_s: int

    slug: ClassVar[str] = "clock-skew"
    sentence: ClassVar[str] = "One component's clock is ahead of or behind all others."

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "skew_s", self.skew_s, -31_536_000, 31_536_000, "s")
        if abs(self.skew_s) < _LEAST_S:
            raise UsageError(
                f"The fault {self.slug!r} could not be told from a slow answer.",
                expected=f"at least {_LEAST_S} s either way",
                actual=self.skew_s,
            )

    def check_target(self, stack: Stack) -> None:
        """There is a way to shift this role's clock."""
        super().check_target(stack)
        if library() is None and not _runs_on_python(stack, self.role):
            raise NotAllowed(
                f"The clock of {self.role} can't be shifted on this machine.",
                expected="libfaketime, or a role that runs on Python",
                actual="neither",
                next_step="apt-get install faketime",
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """How far the role's clock is from ours, as its answers tell."""
        return super().before(stack) | {"offset_s": self._offset(stack)}

    def inject(self, stack: Stack) -> None:
        """Restart with the shifted clock."""
        found = library()
        if found is not None:
            sign = "+" if self.skew_s > 0 else ""
            settings = {"LD_PRELOAD": str(found), "FAKETIME": f"{sign}{self.skew_s}s"}
            # Else time-outs would be shifted, too, and the role would seem hung.
            settings["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        else:
            path = settings_of(stack, self.role).get("PYTHONPATH", "")
            parts = [each for each in path.split(os.pathsep) if each and each != str(SHIM)]
            settings = {
                "PYTHONPATH": os.pathsep.join([str(SHIM), *parts]),
                VARIABLE: str(self.skew_s),
            }
        self.change(stack, settings)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The Date of the role's answers (RFC 9110, 6.6.1) is off by as much as asked."""
        now = self._offset(stack)
        return Proof(
            abs(now - self.skew_s) <= _SEEN_S and abs(before["offset_s"]) <= _SEEN_S,
            {"asked_s": self.skew_s, "seen_s": round(now, 1)},
        )

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The Date is right again."""
        answers = super().prove_healed(stack, before)
        now = self._offset(stack)
        return Proof(answers.ok and abs(now) <= _SEEN_S, {"seen_s": round(now, 1)})

    def _offset(self, stack: Stack) -> float:
        url = stack.endpoint(self.role).url + "/healthz"
        answer = httpx.get(url, timeout=5.0, trust_env=False)
        told = answer.headers.get("date")
        if told is None:
            raise NotAllowed(
                f"The clock of {self.role} can't be seen.",
                expected="a Date header in its answers",
                actual="none",
            )
        return parsedate_to_datetime(told).timestamp() - time.time()


def _runs_on_python(stack: Stack, role: str) -> bool:
    pids = visible(stack).pids(role)
    try:
        return bool(pids) and Path(f"/proc/{pids[0]}/exe").readlink().name.startswith("python")
    except OSError:
        return False


def library() -> Path | None:
    """libfaketime, where it is installed."""
    for pattern in _LIBRARIES:
        for found in sorted(Path("/").glob(pattern.lstrip("/"))):
            return found
    return None
