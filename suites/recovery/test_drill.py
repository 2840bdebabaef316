"""recovery/rto in profile drill: the quarterly disaster-recovery drill, on a staging target."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace

import minio
import psycopg
import pytest

from fixtures.drill import Drill
from fixtures.drill_order import Secrets, order_from
from fixtures.drill_steps import Rehearsed
from fixtures.recovery import PERSONAS, Recovery
from fixtures.scripts import RunScript
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.core.history import History
from harness.core.run import Run
from harness.drivers.base import Stack
from harness.drivers.gateway_http import AuthClient
from harness.drivers.reference import ReferenceStack

ROLES = ("edge", "gateway", "auth", "vectordb", "metadata", "objectstore")


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
    steps = Rehearsed(drill, evidence, recovery, order, objectstore)
    if not drill.done("prepare"):
        with drill.step("prepare") as found:
            if order.day is None and isinstance(stack, ReferenceStack):
                # It was booted for this and is all but empty: little would be shown by its return.
                passages = request.getfixturevalue("corpus").passages
                found["corpus"] = f"{len(passages):,} passages"
            steps.prepare(found)
    if not drill.done("backup"):
        with drill.step("backup") as found:
            steps.backup(found)
    steps.record_backup(verified=False)
    if not drill.done("verify"):
        with drill.step("verify") as found:
            steps.verify(found)
    else:
        steps.record_backup(verified=True)
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
