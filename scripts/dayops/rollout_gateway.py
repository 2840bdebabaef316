"""``rollout_gateway.sh``: a new gateway beside the old one, proven before it gets any traffic."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from harness.core.errors import HarnessError, TargetError, UsageError
from scripts.dayops import gateways
from scripts.dayops.commands import run_command, succeeds
from scripts.dayops.gateways import COLOURS, OTHER, Probe
from scripts.dayops.rollout_memory import Keeper, Memory
from scripts.dayops.script import Refused, Task, main, parser

SCRIPT = "rollout_gateway.sh"
NEEDS = (
    *("GATEWAY_URL", "BLUE_URL", "GREEN_URL"),
    *("GATEWAY_START_CMD", "GATEWAY_STOP_CMD", "GATEWAY_SWITCH_CMD"),
    *("GATEWAY_PROBE_BODY", "GATEWAY_PROBE_TOKEN"),
)
READS = (
    *NEEDS,
    *("GATEWAY_DRAINED_CMD", "GATEWAY_READY_PATH", "GATEWAY_PROBE_PATH"),
    *("GATEWAY_PROBE_EXPECT", "ROLLOUT_STATE"),
)
PROBES = 3
"""Queries in a row that the new gateway answers before it gets any traffic."""
SWITCH_S = 15.0
LOOK_S = 15.0
_PACE_S = 0.1
CODES = """exit codes:
  0  done
  1  refused: the new gateway failed its health check, or answered worse; the old one serves on
  2  could not be carried out (a command failed, nobody answered); run it again: it goes on
  3  another roll-out of this gateway is under way
  4  wrong usage: an argument or a variable is missing or wrong
  130, 143  interrupted; before the switch the old gateway serves on alone
"""


class Rollout:
    """One run. ``old`` serves when it begins, ``new`` is the other colour."""

    def __init__(self, task: Task, keeper: Keeper, memory: Memory) -> None:
        self.task, self.log, self.chosen = task, task.log, task.arguments
        self.environment, self.keeper, self.memory = task.environment, keeper, memory
        self.url = task.environment["GATEWAY_URL"]
        self.urls = {each: task.environment[f"{each.upper()}_URL"] for each in COLOURS}
        self.probe = Probe.of(task.environment)
        self.old = self.new = ""
        self.switched = False

    # --- what is there ------------------------------------------------------------------------

    def look(self) -> None:
        """Find out who serves. Raises TargetError."""
        with self.log.step("look") as told:
            self.old = gateways.serving(self.url, LOOK_S)
            self.new = OTHER[self.old]
            told["serves"] = self.old
        memory = self.memory
        if self.old not in (memory.colour, memory.to):
            # Never run before, or somebody switched by other means: only what is seen counts.
            self.memory = Memory(colour=self.old, release=self.chosen.current_release)
        self.switched = memory.under_way is not None and memory.to == self.old

    def former(self) -> str:
        """Return the release that a roll-back puts back. Raises Refused where there is none."""
        memory = self.memory
        if memory.under_way is not None:
            found = memory.under_way if memory.back else memory.release
        else:
            found = memory.former
        if found is None:
            raise Refused(
                "There is nothing to roll back to.",
                expected="a release that this script replaced by another and knows the name of",
                actual=f"the memory in {self.keeper.path}",
                next_step="roll the former release out with --release",
            )
        return found

    def plan(self) -> None:
        """Say what would be done. Changes nothing."""
        release = self.former() if self.chosen.rollback else str(self.chosen.release)
        running = gateways.colour_at(self.urls[self.new]) == self.new
        steps = [f"end what is left of {self.new}"] if running else []
        steps += [
            f"start {self.new} with {release or 'the settings of before'}",
            f"ask {self.new} for its readiness, and {PROBES} real queries",
            f"point nginx at {self.new} ({gateways.host_port(self.urls[self.new])})",
            f"drain {self.old}" + ("" if self.chosen.keep_old else " and stop it"),
        ]
        for each in steps:
            self.log.event("would", what=each)
            self.log.say(f"would: {each}")

    # --- the two ways -------------------------------------------------------------------------

    def roll_out(self, release: str) -> None:
        """Put a release into service, or finish what another run began."""
        memory = self.memory
        if memory.under_way is not None and memory.back:
            raise Refused(
                "A roll-back is under way.",
                expected="it to end before anything else is rolled out",
                next_step="run this with --rollback",
            )
        if self.switched:
            self._finish()
            self.old, self.new = self.new, self.old
        if memory.release == release and memory.under_way is None:
            self._already()
            return
        self._put_into_service(release, back=False)

    def roll_back(self) -> None:
        """Put the former release back, or finish what another run began."""
        memory = self.memory
        if self.switched and memory.back:
            self._finish()
            return
        if self.switched:
            # Killed before it was written down, and not wanted any more.
            self._settle()
        elif memory.under_way is not None and not memory.back:
            self._discard()
            self.log.say(f"{self.new} never got any traffic: {self.old} serves as before")
            self.new = self.old
            return
        elif memory.under_way is None and memory.taken_back is not None:
            self._already()
            return
        self._put_into_service(self.former(), back=True)

    def _put_into_service(self, release: str, *, back: bool) -> None:
        kept = back and self._still_there(release)
        self.memory.begin(release, self.new, back=back)
        self.keeper.save(self.memory)
        self._bring_up(release, kept=kept)
        self._switch()
        self._retire()

    def _finish(self) -> None:
        """Prove what a run that was killed had switched to, and end the colour before it."""
        self.old, self.new = self.new, self.old
        self._switch()
        self._retire()

    def _already(self) -> None:
        """What is wanted serves; end the other colour if it was left running."""
        self.log.say(f"{self.old} serves {self.memory.release or 'what it served'} already")
        self.old, self.new = self.new, self.old
        self._retire()

    # --- before any traffic -------------------------------------------------------------------

    def _bring_up(self, release: str, *, kept: bool) -> None:
        """Start the new colour and prove it; on a failure it is gone again, the old one serves."""
        try:
            if not kept:
                self._start(release)
            self._gate()
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        """End the colour that gets no traffic, and forget about it."""
        with contextlib.suppress(HarnessError):
            self._command("GATEWAY_STOP_CMD", self.new)
        self.memory.forget()
        self.keeper.save(self.memory)

    def _still_there(self, release: str) -> bool:
        """Whether the other colour still runs with that release, kept for this (--keep-old)."""
        memory = self.memory
        kept = memory.former == release and memory.colour == self.old
        return kept and gateways.colour_at(self.urls[self.new]) == self.new

    def _start(self, release: str) -> None:
        with self.log.step("start", colour=self.new, release=release):
            if gateways.colour_at(self.urls[self.new]) != "nobody":
                # Nobody sends it anything: it is what a run that was killed left behind.
                self._command("GATEWAY_STOP_CMD", self.new)
            self._command("GATEWAY_START_CMD", self.new, release)

    def _gate(self) -> None:
        url, path = self.urls[self.new], self.environment["GATEWAY_READY_PATH"]
        with self.log.step("gate", colour=self.new) as told:
            self._until(
                lambda: gateways.unready(url, path),
                self.chosen.ready_s,
                f"{path} to answer 200 within {self.chosen.ready_s:g} s",
            )
            there = gateways.colour_at(url)
            if there != self.new:
                raise self._refusal(f"{self.new} to answer at {url}", there)
            degraded = gateways.ask(self.urls[self.old], self.probe).degraded
            for _ in range(PROBES):
                found = gateways.ask(url, self.probe)
                if found.problem or (found.degraded and not degraded):
                    raise self._refusal(
                        "a real query to be answered as the old gateway answers it",
                        found.problem or f"degraded: {found.degraded}",
                    )
            told["queries"] = PROBES

    def _until(self, problem: Callable[[], str], seconds: float, expected: str) -> None:
        deadline = time.monotonic() + seconds
        while found := problem():
            if time.monotonic() > deadline:
                raise self._refusal(expected, found)
            self.log.progress(f"waiting for {self.new}: {found[:120]}")
            time.sleep(_PACE_S)

    def _refusal(self, expected: str, actual: str) -> Refused:
        return Refused(
            f"The new gateway ({self.new}) failed its health check; {self.old} serves on.",
            expected=expected,
            actual=actual,
            next_step="read the new gateway's log; nothing was sent to it",
        )

    # --- the switch ---------------------------------------------------------------------------

    def _switch(self) -> None:
        """Point nginx at the new colour and prove that; what fails is taken back at once."""
        try:
            with self.log.step("switch", colour=self.new):
                self._command("GATEWAY_SWITCH_CMD", self.new)
                self._prove(self.new)
            with self.log.step("watch", colour=self.new, queries=self.chosen.watch):
                self._watch()
        except BaseException as error:
            self._switch_back(error)
            raise
        self._settle()

    def _prove(self, colour: str) -> None:
        deadline = time.monotonic() + SWITCH_S
        # What answers first may still be a worker of nginx's former configuration.
        while (seen := gateways.serving(self.url, SWITCH_S)) != colour:
            if time.monotonic() > deadline:
                raise TargetError(
                    f"nginx does not send every request to {colour}.",
                    expected=f"{gateways.IN_A_ROW} fresh connections in a row to {colour}",
                    actual=seen,
                    next_step="check GATEWAY_SWITCH_CMD and nginx's log",
                )

    def _watch(self) -> None:
        deadline, answered = time.monotonic() + SWITCH_S, 0
        while answered < self.chosen.watch:
            found = gateways.ask(self.url, self.probe)
            if not found.problem and found.colour == self.old and time.monotonic() < deadline:
                # A worker of nginx's former configuration took it, the last of its requests: it is
                # none of the new gateway's.
                time.sleep(_PACE_S)
                continue
            if found.problem or found.colour != self.new:
                raise Refused(
                    "The new gateway answers worse under traffic than before it.",
                    expected=f"{self.chosen.watch} queries answered by {self.new} through nginx",
                    actual=f"query {answered + 1}: {found.problem or found.colour}",
                    next_step=f"{self.old} serves again; read the log of {self.new}",
                )
            answered += 1

    def _switch_back(self, why: BaseException) -> None:
        with self.log.step("switch_back", colour=self.old, why=type(why).__name__):
            self._command("GATEWAY_SWITCH_CMD", self.old)
            self._prove(self.old)
        self._drain(self.new)
        self._discard()

    def _retire(self) -> None:
        """Wait until the old colour gets nothing any more, then end it."""
        if self.chosen.keep_old:
            self.log.say(f"{self.old} is kept: --rollback is quick as long as it runs")
            return
        if gateways.colour_at(self.urls[self.old]) == "nobody":
            return
        self._drain(self.old)
        with self.log.step("stop", colour=self.old):
            self._command("GATEWAY_STOP_CMD", self.old)

    def _drain(self, colour: str) -> None:
        deadline = time.monotonic() + self.chosen.drain_s
        with self.log.step("drain", colour=colour) as told:
            drained = self._drained(colour)
            while not drained():
                if time.monotonic() > deadline:
                    told["drained"] = False
                    self.log.warn(
                        "not_drained",
                        f"{colour} was not seen to be drained in {self.chosen.drain_s:g} s",
                        colour=colour,
                    )
                    return
                time.sleep(_PACE_S)

    def _drained(self, colour: str) -> Callable[[], bool]:
        """How to see that a colour gets nothing: nginx's word, or a counter that stands still."""
        if self.environment.has("GATEWAY_DRAINED_CMD"):
            command = self.environment["GATEWAY_DRAINED_CMD"]
            return lambda: succeeds(command, self._words(colour, ""))
        return gateways.stands_still(self.urls[colour], self.chosen.quiet_s)

    # --- memory and commands ------------------------------------------------------------------

    def _settle(self) -> None:
        self.memory.settle()
        self.keeper.save(self.memory)

    def _words(self, colour: str, release: str) -> dict[str, str]:
        upstream = gateways.host_port(self.urls[colour])
        return {"COLOUR": colour, "RELEASE": release, "UPSTREAM": upstream}

    def _command(self, name: str, colour: str, release: str = "") -> None:
        run_command(self.environment[name], name, self._words(colour, release))


def work(task: Task) -> None:
    """Look, start, gate, switch, drain, stop; or tell what stands."""
    _check(task)
    keeper = Keeper(task.environment)
    if task.arguments.status or task.arguments.dry_run:
        _only_look(task, Rollout(task, keeper, keeper.load()))
        return
    with keeper.alone():
        rollout = Rollout(task, keeper, keeper.load())
        rollout.look()
        if task.arguments.rollback:
            rollout.roll_back()
        else:
            rollout.roll_out(task.arguments.release)
        task.told.update(serves=rollout.new, release=rollout.memory.release)


def _only_look(task: Task, rollout: Rollout) -> None:
    rollout.look()
    if not task.arguments.status:
        rollout.plan()
        task.told["dry_run"] = True
        return
    memory = rollout.memory
    up = [each for each, url in rollout.urls.items() if gateways.colour_at(url) == each]
    task.told.update(
        serves=rollout.old,
        release=memory.release,
        former=memory.former,
        under_way=memory.under_way,
        up=sorted(up),
    )


def _check(task: Task) -> None:
    chosen = task.arguments
    if not (chosen.status or chosen.rollback) and chosen.release is None:
        raise UsageError(
            "What is to be rolled out?",
            expected="--release (handed to GATEWAY_START_CMD as $RELEASE), --rollback or --status",
            actual="none of them",
        )
    for name in ("ready_s", "drain_s", "quiet_s", "watch"):
        if getattr(chosen, name) < 0:
            raise UsageError(f"--{name.replace('_', '-')} is below 0.", expected="0 or more")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(
        SCRIPT,
        "Rolls a new gateway out beside the old one: starts the other colour, asks it for its "
        "readiness and real queries, points nginx at it, proves that, drains the old one and ends "
        "it. The commands get COLOUR, RELEASE and UPSTREAM (host:port) in their environment.",
        READS,
        codes=CODES,
    )
    which = arguments.add_mutually_exclusive_group()
    which.add_argument("--release", metavar="R", help="what to roll out: an image's tag, say")
    which.add_argument("--rollback", action="store_true", help="put the former release back")
    which.add_argument("--status", action="store_true", help="say who serves; change nothing")
    add = arguments.add_argument
    add("--current-release", metavar="R", help="what serves now, the first time that this is run")
    add("--keep-old", action="store_true", help="do not stop the old gateway: a quick way back")
    add("--dry-run", action="store_true", help="look, and say what would be done")
    add("--ready-s", type=float, default=60.0, help="seconds to become ready in (60)")
    add("--drain-s", type=float, default=45.0, help="seconds to wait for a drain at most (45)")
    quiet = "without GATEWAY_DRAINED_CMD: seconds without a request that count as drained (8)"
    add("--quiet-s", type=float, default=8.0, help=quiet)
    add("--watch", type=int, default=20, help="queries through nginx after the switch (20)")
    return main(SCRIPT, arguments, NEEDS, work, argv)
