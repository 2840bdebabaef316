"""``ragdrill playbook``: walk an incident procedure by hand, each check with its live value."""

from __future__ import annotations

import argparse
import select
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from chaos.playbooks import PLAYBOOKS, Playbook, Seen, Step
from harness.core.errors import HarnessError, UsageError
from harness.core.events import Note, PlaybookStep
from harness.core.history import History
from harness.core.run import CHECKOUT, new_run, scratch_root
from harness.core.target import TargetFile, load_target
from harness.core.verdicts import ExitCode
from harness.drivers import challenge
from harness.drivers.attach import AttachedStack
from harness.drivers.base import Stack
from harness.drivers.control import driver_of
from harness.drivers.operator import STATE_NAME
from harness.drivers.reference import ReferenceStack
from harness.drivers.registry import driver
from harness.drivers.running import the_one

_DESCRIPTION = """\
Walks the steps of a playbook (docs/runbook.md has the same words): checks each step's condition and
shows what it saw, asks before it acts, measures the effect, and says how to take the step back.
A step whose condition does not hold is passed over.

  ragdrill playbook                              which playbooks there are
  ragdrill playbook latency                      the stack that `ragdrill up` booted
  ragdrill playbook latency --target staging     staging.toml, here or in targets/; with another
                                                 driver than attach: up by `ragdrill up --target`
  ragdrill playbook latency --dry-run            look only
  ragdrill playbook latency --step embed-fallback --back      take a step back
"""

_EPILOG = """\
exit codes:
  0  no step is called for, or each that is was done and had its effect
  1  a step is called for and was not done, or did not have its effect
  2  a check could not be made, an action failed, or Ctrl-C ended the walk (what was done by then
     stays done; the last lines say how to take it back)
  4  usage: a playbook, a step, an option or the target file is wrong
"""

Ask = Callable[[str], bool]


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "playbook",
        help="walk an incident playbook step by step on a live target",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("playbook", nargs="?", metavar="PLAYBOOK")
    parser.add_argument("--step", metavar="STEP", help="this step only")
    parser.add_argument("--target", metavar="FILE", help="a target file, or the name of one")
    parser.add_argument("--run", metavar="ID", help="which stack, where several are up")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--yes", action="store_true", help="do not ask, act where the condition holds")
    how.add_argument("--dry-run", action="store_true", help="look only, act on nothing")
    parser.add_argument("--back", action="store_true", help="take the step named by --step back")
    parser.set_defaults(handler=playbook_command)


def playbook_command(options: argparse.Namespace) -> int:
    """List the playbooks, or walk one."""
    console = Console(highlight=False, soft_wrap=True)
    if options.playbook is None:
        for each in PLAYBOOKS.values():
            named = ", ".join(step.slug for step in each.steps)
            console.print(Text(f"{each.slug:<18}{each.title} (guide {each.section}): {named}"))
        return ExitCode.PASS
    playbook = _playbook(options.playbook)
    steps = playbook.steps if options.step is None else (playbook.step(options.step),)
    if options.back and options.step is None:
        raise UsageError(
            "Steps are taken back one by one.",
            expected="--back with --step",
            actual="--back alone",
            next_step="name the step: " + ", ".join(step.slug for step in playbook.steps),
        )
    if not (options.yes or options.dry_run or sys.stdin.isatty()):
        raise UsageError(
            "Nobody is there to answer.",
            expected="a terminal, or --yes to act without asking, or --dry-run to look only",
            actual="standard input is no terminal",
        )
    stack, history = _target(options)
    ask: Ask = (lambda question: True) if options.yes else _asked
    given = _given(options)
    walk = Walk(playbook, stack, history, console, ask, dry_run=options.dry_run, given=given)
    try:
        return walk.take_back(steps[0]) if options.back else walk.go(steps)
    finally:
        history.close()
        console.print(Text(f"Kept in {_shown(history.run_dir)}"))


@dataclass
class Walk:
    """One walk through a playbook; what was seen and done goes into ``history`` as it happens.

    ``given`` are the options that name the target, as they must be given again to take a step back.
    """

    playbook: Playbook
    stack: Stack
    history: History
    console: Console
    ask: Ask
    dry_run: bool = False
    given: str = ""
    acted: list[Step] = field(default_factory=list)

    def go(self, steps: tuple[Step, ...]) -> int:
        """Walk the steps in order and return the exit code, which is that of the worst of them."""
        self.say(f"{self.playbook.title} (guide {self.playbook.section}) on {self.stack.name}")
        self.say(self.playbook.starts_when)
        worst: int = ExitCode.PASS
        try:
            for number, step in enumerate(steps, start=1):
                self.say(f"\n{number}. {step.slug}: {step.sentence}")
                worst = max(worst, self._step(step))
        except KeyboardInterrupt:
            self._interrupted()
            raise
        return worst

    def take_back(self, step: Step) -> int:
        """Take one step back."""
        self.say(f"{step.slug}: {step.way_back}")
        try:
            if self.dry_run or not self.ask("Take it back now?"):
                self.say("   Not done.")
                return ExitCode.NOT_CONFORMANT
            return self._act(step, "undo", step.undo)
        except KeyboardInterrupt:
            self.say(f"\n   Interrupted: {step.slug} may be half taken back. {self._back(step)}")
            raise

    def _interrupted(self) -> None:
        """Say what stays done: an action that was under way may be half done."""
        if not self.acted:
            self.say("\n   Interrupted: nothing was done.")
        for step in reversed(self.acted):
            self.say(f"\n   Interrupted: {step.slug} was begun, or is done. {self._back(step)}")

    def _back(self, step: Step) -> str:
        command = f"ragdrill playbook {self.playbook.slug} --step {step.slug} --back{self.given}"
        return f"Take back: {step.way_back} ({command})"

    def _step(self, step: Step) -> int:
        self.say("   looking ...")
        try:
            seen = step.condition(self.stack)
        except HarnessError as error:
            self._failed("This can't be checked here", error)
            self.say(f"   By hand: {step.look}")
            return ExitCode.HARNESS_ERROR
        self._told(step, "condition", seen)
        self._show(seen)
        if not seen.ok:
            self.say("   Its condition does not hold: this step is not for what is wrong.")
            return ExitCode.PASS
        self.say("   Its condition holds: this step is called for.")
        self.say(f"   Act: {step.command}")
        lacking = [need for need in step.needs if need not in self.stack.allow]
        if lacking:
            self.say(
                f"   Not done: the target does not allow it ({', '.join(lacking)}). Do it by hand, "
                "or extend allow in the target file."
            )
            return ExitCode.NOT_CONFORMANT
        if self.dry_run or not self.ask("Do it now?"):
            self.say("   Not done.")
            return ExitCode.NOT_CONFORMANT
        if code := self._act(step, "action", step.action):
            return code
        return self._effect(step)

    def _act(self, step: Step, stage: str, act: Callable[[Stack], None]) -> int:
        if stage == "action":
            self.acted.append(step)
        try:
            act(self.stack)
        except KeyboardInterrupt:
            self._told(step, stage, Seen(False, {"interrupted": True}))
            raise
        except HarnessError as error:
            self._told(step, stage, Seen(False, {"error": str(error)}))
            self._failed("It failed", error)
            return ExitCode.HARNESS_ERROR
        self._told(step, stage, Seen(True))
        self.say("   Done.")
        return ExitCode.PASS

    def _effect(self, step: Step) -> int:
        self.say(f"   Expect: {step.expect}")
        self.say("   measuring ...")
        try:
            seen = step.effect(self.stack)
        except HarnessError as error:
            self._failed("The effect can't be measured here", error)
            return ExitCode.HARNESS_ERROR
        self._told(step, "effect", seen)
        self._show(seen)
        self.say("   The effect came." if seen.ok else "   The effect did not come.")
        self.say(f"   {self._back(step)}")
        return ExitCode.PASS if seen.ok else ExitCode.NOT_CONFORMANT

    def _show(self, seen: Seen) -> None:
        for name, value in seen.detail.items():
            self.say(f"   {name:<24}{value}")

    def _failed(self, what: str, error: HarnessError) -> None:
        self.say(f"   {what}:")
        for line in str(error).splitlines():
            self.say(f"   {line}")

    def _told(self, step: Step, stage: str, seen: Seen) -> None:
        self.history.write(
            PlaybookStep(self.playbook.slug, step.slug, stage, seen.ok, dict(seen.detail))
        )

    def say(self, text: str) -> None:
        """Print as it is: what was seen may hold brackets, which are no markup here."""
        self.console.print(Text(text))


def _asked(question: str) -> bool:
    print(f"   {question} [y/N] ", end="", flush=True)
    # A Ctrl-C that comes just before a blocking read is noticed only after it: so wait in pieces.
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        pass
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _playbook(slug: str) -> Playbook:
    if slug not in PLAYBOOKS:
        raise UsageError(
            f"There is no playbook {slug!r}.", expected=", ".join(PLAYBOOKS), actual=slug
        )
    return PLAYBOOKS[slug]


def _target(options: argparse.Namespace) -> tuple[Stack, History]:
    """The target, without a look at whether all of it answers: in an incident some of it does not;
    and a history of its own for this walk."""
    target = TargetFile() if options.target is None else load_target(_file(options.target))
    attached = target.target.driver == "attach"
    up = None if attached else _booted(target, options)
    name = target.target.name if up is None else up.name
    chosen = "attach" if up is None else driver_of(up.scratch / STATE_NAME)
    run = new_run(
        profile="playbook",
        driver=chosen,
        target=name,
        seed=0,
        time_scale=1.0,
    )
    history = History(run.directory)
    stack: Stack = up or driver(chosen).for_run(run, target, lambda line: None)
    if isinstance(stack, AttachedStack) and not options.dry_run:
        # Whatever is acted on must first show that it is the target which is meant.
        try:
            challenge.require_answer(stack, target, incident=True)
        except HarnessError:
            # Nothing was walked, so there is nothing to keep.
            history.close()
            for place in (run.directory, run.scratch):
                shutil.rmtree(place, ignore_errors=True)
            raise
    history.write(Note("info", f"playbook {options.playbook} on {name}"))
    if up is not None:
        run.scratch.rmdir()
    return stack, history


def _booted(target: TargetFile, options: argparse.Namespace) -> ReferenceStack:
    """The stack that `ragdrill up` booted.

    Raises UsageError where it is another than the one that the target file describes.
    """
    up = the_one(scratch_root(), options.run)
    kind = driver_of(up.scratch / STATE_NAME)
    wanted = target.target
    if options.target is not None and (kind, up.name) != (wanted.driver, wanted.name):
        raise UsageError(
            "The stack that is up is not the one that the target file describes.",
            expected=f"{wanted.name}, of driver {wanted.driver}",
            actual=f"{up.name}, of driver {kind} ({up.run_id})",
            next_step=f"ragdrill up --target {shlex.quote(options.target)}, or --run ID where "
            "several are up",
        )
    return up


def _given(options: argparse.Namespace) -> str:
    """The options that name the target, as they are typed again."""
    named = {"--target": options.target, "--run": options.run}
    return "".join(f" {name} {shlex.quote(value)}" for name, value in named.items() if value)


def _file(given: str) -> Path:
    """A target file by its path, or by the name that it has here or in ``targets/``."""
    places = [Path(given), Path(f"{given}.toml"), CHECKOUT / "targets" / f"{given}.toml"]
    for place in places:
        if place.is_file():
            return place
    raise UsageError(
        f"There is no target {given!r}.",
        expected="a target file: " + ", ".join(str(place) for place in places),
        actual="none of them",
        next_step="leave --target away for the stack that `ragdrill up` booted",
    )


def _shown(path: Path) -> Path:
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path
