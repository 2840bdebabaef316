"""``promote_model.sh``: another embedding model into service without a failed query, and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from harness.core.errors import TargetError, UsageError
from scripts.dayops.commands import run_command
from scripts.dayops.script import Refused, Task, main, parser
from scripts.dayops.spaces import Gateway, Lack, Spaces, alone

SCRIPT = "promote_model.sh"
NEEDS = ("QDRANT_URL", "QDRANT_API_KEY", "DATABASE_URL", "GATEWAY_URL")
READS = (*NEEDS, "QDRANT_ALIAS", "REINDEX_CMD", "ROLL_GATEWAY_CMD")
WHAT = """Puts another embedding model into service (operations guide, section 6.3):
the gateway writes to both models' collections, everything that is stored is embedded with the new
model, both are compared with the documents, and one move of the alias makes all queries follow.
Until --finish the way back (--take-back) takes a second and loses nothing. A canary may run before:
its share is left as it is.
"""
CODES = """exit codes:
  0  done, or nothing was left to do
  1  refused: the new collection is not complete, or the gateway does not write to both; the alias
     points where it did
  2  could not be carried out (a store or a command failed); run it again: it goes on from there
  3  another promotion behind this alias is under way
  4  wrong usage: an argument or a variable is missing or wrong
  130, 143  interrupted; run it again
"""
ALONE = {"CANARY": "", "GATEWAY_EMBED_STABLE_MODEL": "", "GATEWAY_CANARY_SHARE": ""}


class Promotion:
    """One run."""

    def __init__(self, task: Task) -> None:
        self.task, self.log, self.chosen = task, task.log, task.arguments
        self.environment = task.environment
        self.spaces = Spaces(task.environment)
        self.behind, self.gateway = "", Gateway(())

    def look(self) -> None:
        """Find out which model answers and with which the gateway writes."""
        with self.log.step("look") as told:
            self.behind, self.gateway = self.spaces.behind(), self.spaces.gateway()
            told.update(answers=self.behind, written=list(self.gateway.models))

    # --- there --------------------------------------------------------------------------------

    def promote(self, model: str) -> None:
        """Embed everything with a model and let it answer."""
        if model not in self.spaces.models():
            raise Refused(
                f"There is no collection of the model {model}.",
                expected=", ".join(self.spaces.models()),
                actual=self.spaces.collection(model),
                next_step="run the deployment job with this model in MIGRATE_EMBED_MODELS",
            )
        former = self.behind
        if former == model:
            others = [each for each in self.gateway.models if each != model]
            former = others[0] if others else model
        if self.chosen.dry_run:
            self._plan(model)
            return
        self.write_both(former, model)
        self.embed(model)
        self.verify(model)
        self.switch(model)
        self.task.told.update(model=model, former=former)

    def _plan(self, model: str) -> None:
        lack = self.spaces.lack(model)
        both = model in self.gateway.models
        plan = {
            "write_both": not both,
            "embed": not lack.complete or self.chosen.all,
            "verify": True,
            "switch": self.behind != model,
        }
        for step, due in plan.items():
            self.log.event("step", step=step, state="would be done" if due else "nothing to do")
        self.log.say(
            f"{model} lacks {lack.missing} of {lack.chunks} chunks; would "
            + ", ".join(step for step, due in plan.items() if due)
        )
        self.task.told.update(dry_run=True, model=model, plan=plan, **lack.told())

    def write_both(self, former: str, model: str) -> None:
        """Have the gateway write to both collections, so that nothing written meanwhile is missed.

        Raises:
            Refused: it does not, and there is no ROLL_GATEWAY_CMD that would make it.
        """
        with self.log.step("write_both") as told:
            if model in self.gateway.models and former in self.gateway.models:
                told["state"] = "skipped"
                return
            settings = {
                "CANARY": "1",
                "GATEWAY_EMBED_MODEL": model,
                "GATEWAY_EMBED_STABLE_MODEL": former,
                # Nobody asks the new model before it has everything.
                "GATEWAY_CANARY_SHARE": "0",
            }
            self._roll(settings, {former, model})

    def _roll(self, settings: dict[str, str], models: set[str]) -> None:
        told = " ".join(f"{name}={value}" for name, value in settings.items())
        if not self.environment.has("ROLL_GATEWAY_CMD"):
            raise Refused(
                "The gateway runs with other settings, and nothing rolls it to these.",
                expected=told,
                actual=f"it writes with {', '.join(self.gateway.models)}",
                next_step="set ROLL_GATEWAY_CMD, or roll it by hand and run this again",
            )
        run_command(self.environment["ROLL_GATEWAY_CMD"], "ROLL_GATEWAY_CMD", settings)
        self.gateway = self.spaces.gateway()
        if set(self.gateway.models) != models:
            raise TargetError(
                "The gateway was rolled, and serves with other models than it was told.",
                expected=told,
                actual=f"it writes with {', '.join(self.gateway.models)}",
                next_step="look at what ROLL_GATEWAY_CMD does",
            )

    def embed(self, model: str) -> None:
        """Embed what the model's collection lacks, or with ``--all`` everything."""
        with self.log.step("embed", model=model) as told:
            lack = self.spaces.lack(model)
            if lack.complete and not lack.extra and not self.chosen.all:
                told.update(state="skipped", **lack.told())
                return
            if not self.environment.has("REINDEX_CMD"):
                raise UsageError(
                    "REINDEX_CMD is not set.",
                    expected="a shell command that makes the collection of $REINDEX_EMBED_MODEL "
                    "agree with the documents; with --missing only what it lacks",
                    next_step="for the reference stack: python -m refstack.gateway.reindex",
                )
            command = self.environment["REINDEX_CMD"]
            command += "" if self.chosen.all or lack.mislabelled else " --missing"
            told.update(lacked=lack.missing)
            self._embed_with(command, model)

    @staticmethod
    def _embed_with(command: str, model: str) -> None:
        """Run it where a person sees its progress: stdout is for our own lines."""
        done = subprocess.run(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env={**os.environ, "REINDEX_EMBED_MODEL": model},
        )
        if done.returncode:
            raise TargetError(
                "The command in REINDEX_CMD failed.",
                expected="exit status 0",
                actual=done.returncode,
                next_step="see its words above, and run this again: it goes on from there",
            )

    def verify(self, model: str) -> Lack:
        """Compare a model's collection with the documents.

        Raises:
            Refused: it lacks something.
        """
        with self.log.step("verify", model=model) as told:
            lack = self.spaces.lack(model)
            told.update(lack.told())
            if not lack.complete:
                raise Refused(
                    f"The collection of {model} is not complete, so nothing was switched.",
                    expected=f"all {lack.chunks} chunks, each with its own tenant",
                    actual=f"{lack.missing} missing, {lack.mislabelled} of somebody else",
                    next_step=f"look at REINDEX_CMD, and run this again with --model {model}",
                )
            if lack.extra:
                self.log.warn(
                    "extra_points", f"{lack.extra} points of no chunk answer nothing", model=model
                )
        return lack

    def switch(self, model: str) -> None:
        """Move the alias, unless somebody has stopped the gateway from writing to both."""
        with self.log.step("switch", model=model) as told:
            self.behind, self.gateway = self.spaces.behind(), self.spaces.gateway()
            if self.behind == model:
                told["state"] = "skipped"
                return
            if model not in self.gateway.models:
                raise Refused(
                    "The gateway does not write to the new collection any more.",
                    expected=model,
                    actual=", ".join(self.gateway.models),
                    next_step="somebody rolled it meanwhile: run this again",
                )
            self.spaces.switch(model)

    # --- and back -----------------------------------------------------------------------------

    def take_back(self) -> None:
        """Let the model before answer again, which was written to all the time."""
        others = [each for each in self.gateway.models if each != self.behind]
        if not others:
            raise Refused(
                "The gateway writes with one model alone: there is none to go back to at once.",
                expected="a promotion that was not finished",
                actual=f"only {self.behind}",
                next_step="promote the former model: --model NAME",
            )
        if self.chosen.dry_run:
            self.log.event("step", step="switch", state="would be done", model=others[0])
            self.task.told.update(dry_run=True, model=others[0])
            return
        former = self.behind
        self.verify(others[0])
        self.switch(others[0])
        self.task.told.update(model=others[0], former=former)

    def finish(self) -> None:
        """Have the gateway write with the model that answers and with no other."""
        with self.log.step("finish", model=self.behind) as told:
            if self.gateway.models == (self.behind,):
                told["state"] = "skipped"
            elif self.chosen.dry_run:
                told["state"] = "would be done"
            else:
                self._roll({**ALONE, "GATEWAY_EMBED_MODEL": self.behind}, {self.behind})
        self.task.told.update(model=self.behind)

    def status(self) -> None:
        """Say how things stand. Changes nothing."""
        models = {model: self.spaces.lack(model).told() for model in self.spaces.models()}
        self.log.event(
            "status", answers=self.behind, written=list(self.gateway.models), models=models
        )
        for model, told in models.items():
            role = "answers" if model == self.behind else "stands by"
            written = "written" if model in self.gateway.models else "not written"
            self.log.say(
                f"{model}: {role}, {written}; {told['missing']} of {told['chunks']} chunks missing"
            )


def work(task: Task) -> None:
    """Promote, take back, finish or look."""
    chosen = task.arguments
    promotion = Promotion(task)
    if chosen.status:
        promotion.look()
        promotion.status()
        return
    with alone(task.environment):
        promotion.look()
        if chosen.model:
            promotion.promote(chosen.model)
        elif chosen.take_back:
            promotion.take_back()
        if chosen.finish:
            promotion.look()
            promotion.finish()


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(SCRIPT, WHAT, READS, codes=CODES)
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="NAME", help="the model that is to answer")
    what.add_argument("--take-back", action="store_true", help="let the model before answer again")
    what.add_argument("--status", action="store_true", help="only say how things stand")
    arguments.add_argument(
        "--finish", action="store_true",
        help="(then) have the gateway write with the model that answers alone",
    )  # fmt: skip
    arguments.add_argument(
        "--all", action="store_true", help="embed everything again, not only what is missing"
    )
    arguments.add_argument("--dry-run", action="store_true", help="only say what would be done")
    return main(SCRIPT, arguments, NEEDS, _checked, argv)


def _checked(task: Task) -> None:
    chosen = task.arguments
    if not (chosen.model or chosen.take_back or chosen.finish or chosen.status):
        raise UsageError(
            "Nothing was asked for.",
            expected="--model NAME, --take-back, --finish or --status",
            next_step="run it with --help",
        )
    work(task)
