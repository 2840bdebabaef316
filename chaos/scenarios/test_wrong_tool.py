"""playbook/implied: a playbook that is walked for another trouble than its own does no harm."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from chaos.playbooks import PLAYBOOKS, Playbook
from chaos.playbooks.key_compromised import published
from chaos.playbooks.leakage import LEAKAGE
from fixtures.bucket import Backups, taken
from fixtures.crowd import Crowd
from fixtures.faults import Inject
from fixtures.scripts import RunScript
from fixtures.stores import ALIAS
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.checks.collection import Collection
from harness.checks.digest import digest
from harness.cli.playbook import Walk
from harness.core.evidence import Evidence
from harness.core.history import History
from harness.core.verdicts import ExitCode
from harness.drivers.base import ProcessIds, Stack

STORES = {"vectordb": "backup_qdrant.sh", "metadata": "backup_metadata.sh"}
PASSED_OVER = "Its condition does not hold"

ONLY_LOOKS = {"leakage/audit"}
"""Steps for whom there is always cause, because they change nothing."""

FOREIGN = ("http-status", {"link": "gateway-rerank", "status": 500})
"""A reranker that fails: no playbook is for it, for the gateway bears it and says so."""


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs(
    *("read", "write", "restart", "fault", "destroy"),
    roles=[
        "edge",
        "vectordb",
        "metadata",
        "auth",
        "objectstore",
        "metrics",
        "rerank",
        "faultproxy",
    ],
)
@pytest.mark.timeout(600)
def test_no_playbook_acts_on_a_trouble_that_is_not_its_own(
    stack: Stack,
    faults: Inject,
    run_script: RunScript,
    backups: Backups,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    history: History,
    evidence: Evidence,
) -> None:
    """Every playbook, walked with leave to act while the reranker fails, MUST say of each step that
    its condition does not hold, and MUST leave processes, data, keys and backups as they were."""
    gateway = connect(new_tenant("bystander", ("work",)).token)
    gateway.put_document("work", "The lamp is lit at dusk.", document_id="lamp").expect(201)
    for script in STORES.values():
        taken(run_script(script))
    crowd = Crowd([lambda: gateway.query("When is the lamp lit?", "work").status == 200])
    before = untouched(stack, backups)
    with crowd.asking():
        slug, arguments = FOREIGN
        with faults(slug, **arguments), ThreadPoolExecutor(len(PLAYBOOKS)) as walkers:
            walks = {
                name: walkers.submit(walk, playbook, stack, history)
                for name, playbook in PLAYBOOKS.items()
                if name != LEAKAGE.slug
            }
            told = {name: each.result() for name, each in walks.items()}
            # By itself: an audit of a collection that another look makes and takes away is none.
            told[LEAKAGE.slug] = walk(LEAKAGE, stack, history)
    for name, (code, said) in told.items():
        steps = [f"{name}/{step.slug}" for step in PLAYBOOKS[name].steps]
        held = len(steps) - said.count(PASSED_OVER)
        may = sum(step in ONLY_LOOKS for step in steps)
        evidence.require(
            f"the playbook {name} is not for a reranker that fails, and says so",
            code == ExitCode.PASS and held <= may,
            expected=f"exit code 0, and {len(steps) - may} of {len(steps)} conditions do not hold",
            actual=f"exit code {code}\n{said[-1500:]}",
        )
    after = untouched(stack, backups)
    evidence.require(
        "nothing was restarted, changed, removed or replaced",
        after == before,
        expected=before,
        actual=after,
    )


def walk(playbook: Playbook, stack: Stack, history: History) -> tuple[int, str]:
    """Walk a playbook as ``ragdrill playbook NAME --yes`` does; the exit code and what it said."""
    said = io.StringIO()
    console = Console(file=said, highlight=False, soft_wrap=True)
    code = Walk(playbook, stack, history, console, lambda _question: True).go(playbook.steps)
    return code, said.getvalue()


def untouched(stack: Stack, backups: Backups) -> dict[str, object]:
    """What a playbook could change: processes, content, keys, backups."""
    assert isinstance(stack, ProcessIds)
    roles = ("gateway", "vectordb", "metadata", "auth", "embed", "rerank", "exporter")
    key = stack.credentials("vectordb")["api_key"]
    with Collection(stack.endpoint("vectordb").url, ALIAS, api_key=key) as collection:
        content = digest(collection)
    return {
        "processes": {role: stack.pids(role)[0] for role in roles if role in stack.roles()},
        "content": [content.count, content.total],
        "keys": published(stack),
        "backups": {store: backups.runs(store) for store in STORES},
    }
