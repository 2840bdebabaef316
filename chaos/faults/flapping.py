"""Flapping: a link goes down and comes back, again and again."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.faults.base import Proof, in_range
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import Look, look, look_through
from chaos.faults.toxics import ToxicControl, link_of
from harness.core.errors import HarnessError
from harness.drivers.base import Stack

_LOOK_S = 0.5
_SCHEDULES: dict[tuple[str, str], tuple[threading.Event, threading.Thread]] = {}


@dataclass(frozen=True)
class Flapping(LinkFault):
    """Takes the link down for ``down_ms`` and up for ``up_ms``, beginning with down, until healed.

    The schedule is a thread of this process. A toxic that does nothing is its licence: with the
    toxic gone, whoever removed it, the schedule ends and leaves the link up. So a heal from
    another process ends it too.
    """

    down_ms: int
    up_ms: int

    slug: ClassVar[str] = "flapping"
    sentence: ClassVar[str] = "The link goes down and comes back on a schedule."
    toxic: ClassVar[str] = "noop"

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.slug, "down_ms", self.down_ms, 50, 60_000, "ms")
        in_range(self.slug, "up_ms", self.up_ms, 50, 60_000, "ms")

    def inject(self, stack: Stack) -> None:
        """Leave the licence at the proxy and begin."""
        self._end_schedule(stack)
        super().inject(stack)
        control = ToxicControl(stack)
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(control, stop), name=f"flapping {self.link}", daemon=True
        )
        _SCHEDULES[self._key(stack)] = (stop, thread)
        thread.start()

    def heal(self, stack: Stack) -> None:
        """Take the licence away, end the schedule, bring the link up."""
        control = ToxicControl(stack)
        control.remove(self.link, self._name)
        self._end_schedule(stack)
        control.enable(self.link, True)

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The link is seen down, up and down again, while its target answers all along."""
        seen = self._watch(stack, until="down up down", seconds=4 * self._period + 4)
        link = link_of(stack, self.link)
        host, _, port = link.upstream.rpartition(":")
        past = look(host, int(port), link.target)
        flaps = " ".join(seen).startswith(("down up down", "up down up down"))
        return Proof(
            flaps and past.outcome == "answered" and "answered" in before["outcomes"],
            {"through_link": seen, "past_link": past.outcome, "before": before},
        )

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The link stays up for a whole round of the schedule and more."""
        seen = self._watch(stack, until="down", seconds=1.2 * self._period)
        return Proof(seen == ["up"], {"through_link": seen})

    def shows(self, looks: list[Look], before: dict[str, Any]) -> bool:
        """One moment does not show it: see ``prove``."""
        return False

    @property
    def _period(self) -> float:
        return (self.down_ms + self.up_ms) / 1000

    def _key(self, stack: Stack) -> tuple[str, str]:
        return stack.run_id, self.link

    def _end_schedule(self, stack: Stack) -> None:
        stop, thread = _SCHEDULES.pop(self._key(stack), (None, None))
        if stop is not None and thread is not None:
            stop.set()
            thread.join()

    def _run(self, control: ToxicControl, stop: threading.Event) -> None:
        # A control API that is gone ends the schedule: its links are gone with it.
        with contextlib.suppress(HarnessError):
            while not stop.is_set() and control.has(self.link, self._name):
                control.enable(self.link, False)
                licensed = control.has(self.link, self._name)
                if licensed:
                    stop.wait(self.down_ms / 1000)
                control.enable(self.link, True)
                if licensed:
                    stop.wait(self.up_ms / 1000)

    def _watch(self, stack: Stack, *, until: str, seconds: float) -> list[str]:
        """What the link is seen to be, changes only, until it shows a pattern or time is over."""
        link = link_of(stack, self.link)
        pause = min(self.down_ms, self.up_ms) / 1000 / 5
        deadline = time.monotonic() + seconds
        seen: list[str] = []
        while time.monotonic() < deadline and until not in " ".join(seen):
            now = "up" if look_through(link, timeout=_LOOK_S).outcome == "answered" else "down"
            if not seen or seen[-1] != now:
                seen.append(now)
            time.sleep(pause)
        return seen
