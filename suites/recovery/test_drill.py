"""recovery/rto in profile drill: the quarterly disaster-recovery drill, on a staging target."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import minio
import psycopg
import pytest

from fixtures.drill import Drill
from fixtures.drill_order import Order, Secrets, boot_id, order_from
from fixtures.observed import State, agreement, differences
from fixtures.recovery import PERSONAS, Recovery, breakdown
from fixtures.scripts import RunScript
from fixtures.stores import ALIAS
from fixtures.taken import Backup
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.answers import configuration_verdict
from harness.checks.recovery_point import recovery_point, recovery_point_verdict, skew_verdict
from harness.core.evidence import Evidence
from harness.core.guide import load_recovery_objectives
from harness.core.history import History
from harness.core.run import Run
from harness.drivers.base import Restart, Stack
from harness.drivers.gateway_http import AuthClient

ROLES = ("edge", "gateway", "auth", "vectordb", "metadata", "objectstore")
BEATS = 50
"""Heartbeats that are acknowledged before the backup, and again after it."""


class Rehearsed:
    """The steps of the drill; each takes what earlier ones found from the drill's facts."""

    def __init__(self, drill: Drill, evidence: Evidence, recovery: Recovery, order: Order) -> None:
        self.drill, self.evidence, self.recovery, self.order = drill, evidence, recovery, order

    def prepare(self, found: dict[str, Any]) -> None:
        """Write what the answer rests on, and let the heartbeat writer run."""
        if self.order.day is not None:
            found["written"] = "nothing: the backup that was named is older than this drill"
            return
        self.recovery.fill()
        self.drill.keep(expected=self.recovery.expected)
        self.recovery.heartbeat.start()
        self.recovery.heartbeat.wait_for(BEATS, timeout_s=120)
        found["heartbeats"] = BEATS

    def backup(self, found: dict[str, Any], describe: Callable[[Backup], dict[str, Any]]) -> None:
        """Take the backup, or find the one that was asked for."""
        day = self.order.day
        if day is None:
            taken = self.recovery.back_up()
            self.drill.keep(backup_seconds=taken.seconds)
        else:
            taken = self.recovery.found(day)
        told = describe(taken)
        self.drill.keep(day=taken.day, ids=taken.ids, backup=told)
        found.update(taken.ids)

    def verify(self, found: dict[str, Any]) -> None:
        """Restore into a scratch place and compare; a bad backup ends the drill before it hurts."""
        for store, backup in self.drill.facts["ids"].items():
            ran = self.recovery.script("verify_backup.sh", "--backup", backup, timeout_s=3600)
            found[store] = f"{ran.seconds:.1f} s"
            self.evidence.require(
                f"the backup of {store} is verified by a restore into a scratch place",
                ran.exit_code == 0,
                expected="exit code 0",
                actual=ran.told if ran.exit_code else "exit code 0",
            )
        told = self.drill.facts["backup"]
        self.drill.backup(**told, objects=self.objects(verified=True))

    def objects(self, *, verified: bool) -> list[dict[str, Any]]:
        """Return the objects of the backup for the record."""
        return [{**each, "verified": verified} for each in self.drill.facts["objects"]]

    def observe(self, found: dict[str, Any]) -> None:
        """Note what each collection holds, and let the writer run on to be cut off."""
        if self.order.day is not None:
            found["observed"] = "nothing: the backup's own manifest is what counts"
            self.drill.keep(before={})
            return
        before = self.recovery.look("before")
        self.drill.keep(before={name: state.as_json() for name, state in before.items()})
        found.update({name: state.digest.count for name, state in before.items()})
        last = max((beat.number for beat in self.recovery.beats()), default=0)
        if self.recovery.heartbeat.is_alive():
            self.recovery.heartbeat.wait_for(last + BEATS, timeout_s=120)

    def destroy(self, found: dict[str, Any]) -> None:
        """Lose both volumes."""
        stack = self.recovery.stack
        mark = getattr(stack, "challenge_mark", "")
        # Whoever resumes this can't ask these two for the proof that they may be broken.
        self.drill.keep(
            wiped={"target": stack.name, "mark": mark, "roles": ["vectordb", "metadata"]}
        )
        moment = self.recovery.destroy()
        # A destruction that was interrupted is done again; the first one ended the writing.
        beats = [] if self.order.day is not None else self.recovery.beats()
        last = max((b.acknowledged for b in beats if b.acknowledged), default=0.0)
        self.drill.keep(disaster=max(moment, last), boot=boot_id())
        found["lost"] = "the volumes of vectordb and metadata"

    def restore(self, found: dict[str, Any]) -> None:
        """Give the order; done with the first correct answer."""
        began = float(self.drill.facts["ordered"])
        restored = self.recovery.restore(self.drill.facts["day"], timeout_s=7200)
        found.update({name: round(seconds, 3) for name, seconds in breakdown(restored).items()})
        self.evidence.require(
            "the restore ends well",
            restored.ran.exit_code == 0,
            expected="exit code 0",
            actual=restored.ran.told if restored.ran.exit_code else "exit code 0",
        )
        self.evidence.require(
            "the gateway gives the correct answer again",
            restored.answered is not None,
            expected="the answer from before the disaster",
            actual=restored.last_answer if restored.answered is None else "that answer",
        )
        self.drill.keep(recovery_time=time.time() - began)

    def compare(self, found: dict[str, Any], database: Callable[[], psycopg.Connection]) -> None:
        """Hold everything against what it was."""
        self._compare("after the restore", found)
        with (
            self.drill.noting(),
            database() as connection,
            self.recovery.observer.collection(ALIAS) as collection,
        ):
            self.evidence.check(agreement(connection, collection))

    def restart(self, found: dict[str, Any]) -> None:
        """What came back must stay."""
        stack = self.recovery.stack
        if isinstance(stack, Restart):
            stack.restart("vectordb")
            stack.ready("vectordb")
        else:
            self.drill.not_shown("a restart: this target's roles can't be restarted")
        self._compare("after a restart", found)

    def _compare(self, when: str, found: dict[str, Any]) -> None:
        kept = self.drill.facts["before"]
        if self.order.day is not None:
            self._compare_with_manifest(when, found)
            return
        before = {name: State.from_json(document) for name, document in kept.items()}
        after = self.recovery.look(when.replace(" ", "-"))
        with self.drill.noting():
            self.evidence.require(
                f"{when}: the same collections",
                sorted(before) == sorted(after),
                expected=sorted(before),
                actual=sorted(after),
            )
        both = sorted(set(before) & set(after))
        self.evidence.require(
            f"{when}: there was content to lose",
            any(before[name].digest.count for name in both),
            expected="a point or more",
            actual={name: before[name].digest.count for name in both},
        )
        for name in both:
            for check in differences(when, before[name], after[name]):
                with self.drill.noting():
                    self.evidence.check(check)
        found.update({name: state.digest.count for name, state in after.items()})

    def _compare_with_manifest(self, when: str, found: dict[str, Any]) -> None:
        """Hold counts and settings against what the backup says of itself.

        The restore has compared the content before it switched; since then the vector store may
        have been brought to the documents' moment, which the agreement shows.
        """
        after = self.recovery.look(when.replace(" ", "-"))
        wanted = {each["name"]: each for each in self.drill.facts["collections"]}
        with self.drill.noting():
            self.evidence.require(
                f"{when}: the collections of the manifest",
                sorted(wanted) == sorted(after),
                expected=sorted(wanted),
                actual=sorted(after),
            )
        for name in sorted(set(wanted) & set(after)):
            with self.drill.noting():
                then, now = wanted[name]["configuration"], after[name].configuration
                self.evidence.check(configuration_verdict(then, now))
            found[name] = {"backed up": wanted[name]["count"], "now": after[name].digest.count}

    def measure(self, found: dict[str, Any]) -> None:
        """Hold recovery time and recovery point against their objectives."""
        objectives = load_recovery_objectives()
        took = float(self.drill.facts["recovery_time"])
        limit = float(objectives["recovery-time"].seconds)
        self.evidence.measure(
            "recovery time", took, "s", limit=limit, method="from the order to the first answer"
        )
        with self.drill.noting():
            self.evidence.require(
                "the recovery time objective is held",
                took <= limit,
                expected=f"at most {limit:g} s",
                actual=f"{took:.1f} s",
            )
        if self.order.day is not None:
            self.drill.not_shown(
                f"recovery point: the backup of {self.order.day} is older than any heartbeat of "
                "this drill"
            )
            return
        if self.drill.facts["boot"] != boot_id():
            self.drill.not_shown(
                "recovery point: this machine was started anew since the disaster, and with it the "
                "clock of the heartbeats"
            )
            return
        beats, present = self.recovery.beats(), self.recovery.present()
        point = recovery_point(beats, present, float(self.drill.facts["disaster"]))
        for store, own in point.stores.items():
            limit = float(objectives[f"recovery-point-{store}"].seconds)
            self.evidence.measure(
                f"recovery point, {store}",
                own.seconds,
                "s",
                n=own.acknowledged,
                limit=limit,
                interval=[own.seconds, own.at_most] if own.at_most < float("inf") else None,
                method="age of the oldest acknowledged heartbeat that is gone",
            )
            with self.drill.noting():
                self.evidence.check(recovery_point_verdict(point, store, limit))
            found[store] = f"{len(own.lost)} of {own.acknowledged} lost"
        with self.drill.noting():
            self.evidence.check(skew_verdict(point))


@conformance("recovery/rto", since="0.2", profiles=("drill",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(4 * 3600)
def test_disaster_recovery_drill(
    stack: Stack,
    run: Run,
    run_script: RunScript,
    connect: Connect,
    new_tenant: Callable[..., Tenant],
    metadata: Callable[[], psycopg.Connection],
    objectstore: minio.Minio,
    auth: AuthClient,
    evidence: Evidence,
    history: History,
    say: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    """A backup MUST be restored after the loss of both stores, within the recovery objectives, with
    everything as it was."""
    order = order_from(os.environ, stack)
    drill = Drill(evidence, history, run, say, order.resume)
    secrets = Secrets(order.resume or run.directory)
    if order.resume is None:
        tenant = new_tenant("heartbeat", PERSONAS)
        secrets.keep(tenant)
    else:
        tenant = secrets.recall()
        for name in ("samples", "ledgers"):
            if (order.resume / name).is_dir():
                shutil.copytree(order.resume / name, run.directory / name, dirs_exist_ok=True)
        # From the moment on at which the secret is here, it is this run that can be resumed.
        drill.keep()
        secrets.move(run.directory)
    history.redactor.add(tenant.token)
    # The queries before and after must be the same ones, whichever run asks them.
    run = replace(run, seed=int(drill.facts.get("seed", run.seed)))
    recovery = Recovery(
        stack,
        run,
        run_script,
        connect,
        tenant,
        metadata,
        stem=drill.facts.get("stem"),
        bucket=order.bucket,
        auth=auth if order.day is not None else None,
    )
    # A drill that ends early leaves nobody behind who writes into other cases.
    request.addfinalizer(recovery.heartbeat.stop)
    recovery.expected = [(key, text) for key, text in drill.facts.get("expected", [])]
    drill.keep(stem=recovery.stem, seed=run.seed)
    steps = Rehearsed(drill, evidence, recovery, order)
    bucket = order.bucket or stack.credentials("objectstore").get("bucket", "rag-backups")

    def describe(taken: Backup) -> dict[str, Any]:
        told, objects, collections = taken.describe(objectstore, bucket)
        drill.keep(objects=objects, collections=collections)
        return {**told, "origin": "fetched" if order.day else "taken"}

    if not drill.done("prepare"):
        with drill.step("prepare") as found:
            steps.prepare(found)
    if not drill.done("backup"):
        with drill.step("backup") as found:
            steps.backup(found, describe)
    drill.backup(**drill.facts["backup"], objects=steps.objects(verified=False))
    if "backup_seconds" in drill.facts:
        evidence.measure(
            "backup of both stores",
            float(drill.facts["backup_seconds"]),
            "s",
            limit=float(load_recovery_objectives()["backup"].seconds),
            method="begin to end of both scripts",
        )
    if not drill.done("verify"):
        with drill.step("verify") as found:
            steps.verify(found)
    else:
        drill.backup(**drill.facts["backup"], objects=steps.objects(verified=True))
    if not drill.done("observe"):
        if order.day is None and not recovery.heartbeat.is_alive():
            recovery.heartbeat.start()
        with drill.step("observe") as found:
            steps.observe(found)
    if not drill.done("destroy"):
        with drill.step("destroy") as found:
            steps.destroy(found)
    if not drill.done("restore"):
        if "ordered" not in drill.facts:
            drill.keep(ordered=time.time())
        with drill.step("restore") as found:
            steps.restore(found)
    with drill.step("compare") as found:
        steps.compare(found, metadata)
    with drill.step("restart") as found:
        steps.restart(found)
    with drill.step("measure") as found:
        steps.measure(found)
    secrets.forget()
    drill.conclude()
