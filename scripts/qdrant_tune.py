"""Tunes the search of a collection: shows recall against an exact search and latency, changes a
knob, shows them again, and can undo it (operations guide, section 11).

--ef is how many candidates a search of the index keeps: more find more and take longer. It is a
setting of whoever searches, so ROLL_GATEWAY_CMD rolls the gateway to GATEWAY_SEARCH_EF. --m and
--ef-construct are how the index is built, and --on-disk-payload where payloads lie: settings of the
collection, which is rebuilt while it serves. Without a knob it only measures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.core.errors import TargetError, UsageError
from scripts.dayops.commands import run_command
from scripts.dayops.script import Refused, Task, main, parser
from scripts.dayops.tuning import Bench, Measured

SCRIPT = "qdrant_tune.py"
NEEDS = ("QDRANT_URL", "QDRANT_API_KEY")
READS = (*NEEDS, "QDRANT_ALIAS", "ROLL_GATEWAY_CMD")
QUESTIONS = 100
MOST_EF = 4096
KNOBS = ("m", "ef_construct", "on_disk_payload")
CODES = """exit codes:
  0  done: measured, changed or undone
  1  refused: the store will not have it, there is too little to measure, or nothing to undo
  2  could not be carried out (a store or a command failed); run it again
  4  wrong usage: an argument or a variable is missing or wrong
"""


class Tuning:
    """One run on one collection. What was before is remembered in a file until it is undone."""

    def __init__(self, task: Task) -> None:
        self.task, self.log, self.chosen = task, task.log, task.arguments
        environment = task.environment
        name = self.chosen.collection or environment["QDRANT_ALIAS"]
        self.bench = Bench(environment["QDRANT_URL"], environment["QDRANT_API_KEY"], name)
        self.state = self.chosen.state or _place(f"{environment['QDRANT_URL']} {name}")

    def wanted(self) -> dict[str, Any]:
        """Return the settings of the collection that were asked for."""
        chosen = vars(self.chosen)
        return {name: chosen[name] for name in KNOBS if chosen[name] is not None}

    def measure(self, when: str, ef: int | None) -> Measured:
        """Measure, and log it."""
        with self.log.step("measure", when=when) as told:
            found = self.bench.measure(ef, self.chosen.questions)
            told.update(found.told())
        self.log.say(
            f"{when}: recall {found.recall:.3f} [{found.recall_low:.3f}, {found.recall_high:.3f}]"
            f" at ef {ef or 'of the store'}, p50 {found.p50_ms:.2f} ms, p95 {found.p95_ms:.2f} ms"
            + (f", {found.resident_mib:.0f} MiB resident" if found.resident_mib else "")
        )
        return found

    def tune(self) -> None:
        """Measure, change, measure again."""
        wanted, ef = self.wanted(), self.chosen.ef
        settings = self.bench.settings()
        former = self._remembered() or {"settings": {}}
        now = former.get("ef")
        if ef and not self.chosen.dry_run and not self.task.environment.has("ROLL_GATEWAY_CMD"):
            raise Refused(
                "Nothing rolls the gateway to another ef.",
                expected="ROLL_GATEWAY_CMD, or --dry-run, which only measures",
                next_step=f"set GATEWAY_SEARCH_EF={ef} in the gateway's settings, and roll it",
            )
        self.log.event("settings", collection=self.bench.collection, **settings)
        before = self.measure("before", self.chosen.from_ef or now)
        due = {name: value for name, value in wanted.items() if settings[name] != value}
        told = {"collection": self.bench.collection, "before": before.told()}
        if self.chosen.dry_run or not (wanted or ef):
            if ef:
                # A search may be asked with another ef without anything being changed.
                told["after"] = self.measure("would be", ef).told()
            self.log.event("plan", change=due, ef=ef, state="would be done")
            self.task.told.update(dry_run=True, change=due, ef=ef, **told)
            return
        former["settings"] = {**{name: settings[name] for name in due}, **former["settings"]}
        if due:
            self._remember(former)
            self._change(due)
        if ef:
            self._remember({**former, "ef": ef})
            self._roll(str(ef))
        told["after"] = self.measure("after", ef or self.chosen.from_ef or now).told()
        self.task.told.update(change=due, ef=ef, **told)

    def _change(self, settings: dict[str, Any]) -> None:
        with self.log.step("change", **settings) as told:
            self.bench.change(settings)
            told["rebuilt_s"] = round(self.bench.settle(self.log.progress), 1)
            now = self.bench.settings()
            if wrong := {name: now[name] for name in settings if now[name] != settings[name]}:
                raise TargetError(
                    "The collection did not take the change.", expected=settings, actual=wrong
                )

    def _roll(self, ef: str) -> None:
        """Roll the gateway to another ef; an empty one leaves it to the store again."""
        with self.log.step("roll", GATEWAY_SEARCH_EF=ef):
            command = self.task.environment["ROLL_GATEWAY_CMD"]
            run_command(command, "ROLL_GATEWAY_CMD", {"GATEWAY_SEARCH_EF": ef})

    def undo(self) -> None:
        """Put back what the runs since the last --undo have changed.

        Raises:
            Refused: they have changed nothing, or it is not known here.
        """
        former = self._remembered()
        if not former:
            raise Refused(
                "There is nothing to undo.",
                expected=f"a change by this script, remembered in {self.state}",
                next_step="name it with --state if it was made elsewhere",
            )
        now = self.bench.settings()
        due = {name: value for name, value in former["settings"].items() if now[name] != value}
        if self.chosen.dry_run:
            self.log.event("plan", change=due, state="would be done")
            self.task.told.update(dry_run=True, undo=due)
            return
        if due:
            self._change(due)
        if "ef" in former:
            self._roll("")
        self.state.unlink(missing_ok=True)
        self.task.told.update(undone=due, collection=self.bench.collection)

    def _remembered(self) -> dict[str, Any]:
        try:
            found = json.loads(self.state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise TargetError(
                "What was before can't be read.",
                expected=f"a file of this script: {self.state}",
                actual=str(error),
                next_step="remove it to forget what was before",
            ) from error
        return found if isinstance(found, dict) else {}

    def _remember(self, former: dict[str, Any]) -> None:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        partial = self.state.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(former, indent=1), encoding="utf-8")
        partial.replace(self.state)


def _place(what: str) -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    return Path(base) / "ragdrill" / f"tune-{name}.json"


def work(task: Task) -> None:
    """Tune or undo."""
    chosen = task.arguments
    for name, low, high in (("ef", 1, MOST_EF), ("m", 2, 512), ("ef_construct", 4, MOST_EF)):
        value = getattr(chosen, name)
        if value is not None and not low <= value <= high:
            raise UsageError(
                f"--{name.replace('_', '-')} is out of range.",
                expected=f"from {low} to {high}",
                actual=value,
            )
    if not 10 <= chosen.questions <= 10_000:
        raise UsageError(
            "--questions is out of range.", expected="from 10 to 10000", actual=chosen.questions
        )
    tuning = Tuning(task)
    if chosen.undo:
        tuning.undo()
    else:
        tuning.tune()


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(SCRIPT, __doc__ or "", READS, codes=CODES)
    arguments.add_argument("--collection", metavar="NAME", help="(default: the alias)")
    arguments.add_argument("--ef", type=int, metavar="N", help="candidates of a search")
    arguments.add_argument(
        "--from-ef", type=int, metavar="N",
        help="ef of the measurement before (default: what this script set last, else the store's)",
    )  # fmt: skip
    arguments.add_argument("--m", type=int, metavar="N", help="links of a point in the index")
    arguments.add_argument(
        "--ef-construct", type=int, metavar="N", help="candidates when the index is built"
    )
    arguments.add_argument(
        "--on-disk-payload", type=_flag, metavar="true|false", help="where payloads lie"
    )
    arguments.add_argument(
        "--questions", type=int, default=QUESTIONS, metavar="N",
        help=f"searches of one measurement (default: {QUESTIONS})",
    )  # fmt: skip
    arguments.add_argument("--dry-run", action="store_true", help="measure, and change nothing")
    arguments.add_argument("--undo", action="store_true", help="put back what was before")
    arguments.add_argument(
        "--state", type=Path, metavar="FILE", help="what remembers that (default: below ~)"
    )
    return main(SCRIPT, arguments, NEEDS, work, argv)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text == "true"


if __name__ == "__main__":
    raise SystemExit(run())
