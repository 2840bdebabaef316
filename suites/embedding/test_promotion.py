"""embed/promote: everything is embedded anew, all queries follow at once, and the way back is
open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from fixtures.promotion import TEXTS, Readers, Scribe, SpacesOf
from fixtures.scripts import Ran, RunScript
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence

SCRIPT = "promote_model.sh"
SCRIPT_S = 900.0
"""A minute for each few thousand chunks that the run has written before."""

READERS = 2
SETTLED = 20
"""Answers of the new model that come after the switch before anything is judged."""

NOTES = 12
ALIKE = 0.999

NewTenant = Callable[..., Tenant]


@dataclass(frozen=True)
class Ground:
    """A tenant who reads known documents while somebody writes others."""

    tenant: Tenant
    readers: Readers
    scribe: Scribe


@pytest.fixture
def ground(spaces_of: SpacesOf, new_tenant: NewTenant, connect: Connect) -> Ground:
    """Documents with known vectors in one persona; what is written meanwhile goes to another."""
    tenant = new_tenant("library", ("work", "notes"))
    rows = [
        {"document_id": name, "persona": "work", "text": text, "metadata": {}}
        for name, text in TEXTS.items()
    ]
    connect(tenant.token).put_documents(rows).expect(201)
    return Ground(tenant, Readers(spaces_of, tenant, connect, READERS), Scribe(tenant, connect))


@conformance("embed/promote", since="0.2")
@needs(
    *("read", "write", "restart"),
    roles=["gateway", "edge", "vectordb", "metadata", "embed"],
    features=["native-api"],
)
@pytest.mark.timeout(1800)
def test_everything_follows_to_the_new_model_and_back_with_no_failed_request(
    spaces_of: SpacesOf,
    ground: Ground,
    run_script: RunScript,
    connect: Connect,
    evidence: Evidence,
) -> None:
    """Promotion MUST refuse an incomplete collection, embed everything that is stored and what is
    written meanwhile, move every query to the new model with none failed or answered from another
    space, and MUST be taken back in the same way."""
    readers, scribe, other = ground.readers, ground.scribe, spaces_of.other
    with readers.asking(), scribe.writing():
        early = run_script(
            SCRIPT, "--model", other, env={"REINDEX_CMD": "true"}, timeout_s=SCRIPT_S
        )
        evidence.require(
            "a collection that lacks documents is refused, and nothing is switched",
            early.exit_code == 1 and spaces_of.answers() == spaces_of.stable,
            expected=f"exit code 1, and {spaces_of.stable} answers on",
            actual=f"{early.told}; {spaces_of.answers()} answers",
        )
        _require_done(
            run_script(SCRIPT, "--model", other, timeout_s=SCRIPT_S), "promotion", evidence
        )
        followed = readers.seen_from(other, SETTLED)
        during = dict(readers.answered)
    evidence.measure("queries while the new model was promoted", sum(during.values()), "queries")
    evidence.measure("documents written meanwhile", scribe.taken, "documents")
    evidence.require(
        "queries follow to the new model",
        followed and spaces_of.answers() == other,
        expected=f"{other} behind the alias and in the answers",
        actual=f"{spaces_of.answers()} behind the alias; answers by model: {during}",
    )
    _require_sound(readers, scribe, "while the new model was promoted", evidence)
    _require_whole(spaces_of, evidence)
    with readers.asking(), scribe.writing():
        ran = run_script(SCRIPT, "--take-back", timeout_s=SCRIPT_S)
        _require_done(ran, "way back", evidence)
        back = readers.seen_from(spaces_of.stable, SETTLED)
    evidence.require(
        "queries go back to the model before",
        back and spaces_of.answers() == spaces_of.stable,
        expected=f"{spaces_of.stable} behind the alias and in the answers",
        actual=f"{spaces_of.answers()} behind the alias",
    )
    _require_sound(readers, scribe, "while it was taken back", evidence)
    gateway = connect(ground.tenant.token)
    lost = []
    for name, text in scribe.newest(NOTES).items():
        answer = gateway.query(text, "notes", top_k=1, rerank=False).expect(200)
        found = [row["document_id"] for row in answer.json["results"]]
        lost += [name] if found != [name] or answer.json["embed_model"] == other else []
    evidence.require(
        "what was written while the new model answered is found by the one before",
        not lost,
        expected=f"{NOTES} notes, each by its own text",
        actual=lost or "each is found",
    )
    _require_done(run_script(SCRIPT, "--finish"), "end of it", evidence)
    health = spaces_of.health()
    evidence.require(
        "finished, the gateway writes with the model that answers and no other",
        health.get("embed_model") == spaces_of.stable and not health.get("canary"),
        expected=f"{spaces_of.stable}, no canary",
        actual=f"{health.get('embed_model')}, canary {health.get('canary')}",
    )


def _require_done(ran: Ran, what: str, evidence: Evidence) -> None:
    evidence.require(
        f"the {what} ends well", ran.exit_code == 0, expected="exit code 0", actual=ran.told
    )


def _require_sound(readers: Readers, scribe: Scribe, when: str, evidence: Evidence) -> None:
    evidence.require(
        f"no query failed or was answered from another space {when}",
        not readers.wrong,
        expected="200, with the documents and scores of the space of the model that it names",
        actual=readers.wrong[:3] or "each was",
    )
    evidence.require(
        f"no write was refused {when}",
        not scribe.refused,
        expected="201 and 204",
        actual=scribe.refused[:3] or "none was",
    )


def _require_whole(spaces_of: SpacesOf, evidence: Evidence) -> None:
    """Every chunk of any tenant has its point, with the vector that the new model gives."""
    chunks, points = spaces_of.chunks(), spaces_of.points(spaces_of.other)
    missing = sorted(set(chunks) - set(points))
    evidence.require(
        "every document is in the new model's collection, those written meanwhile too",
        not missing,
        expected=f"{len(chunks)} chunks",
        actual=f"{len(missing)} missing of {len(chunks)}",
    )
    # The newest and some of all others: to embed everything once more would double the time.
    looked = [*list(chunks)[:64], *list(chunks)[-64:]]
    due = spaces_of.embeddings.of([chunks[each] for each in looked], spaces_of.other)
    got = np.array([points[each] for each in looked], dtype=np.float64)
    likeness = np.sum(due * got, axis=1) / np.linalg.norm(got, axis=1)
    evidence.require(
        "their vectors are the new model's",
        bool((likeness > ALIKE).all()),
        expected=f"a cosine above {ALIKE} with what the model gives",
        actual=f"{float(likeness.min()):.4f} at least",
    )


@conformance("embed/promote", since="0.2")
@needs("read", "restart", roles=["gateway", "edge", "vectordb", "metadata", "embed"])
def test_a_dry_run_of_a_promotion_changes_nothing(
    spaces_of: SpacesOf, run_script: RunScript, evidence: Evidence
) -> None:
    """A dry run MUST say what a promotion would do, and change neither alias, collection nor
    gateway."""
    before = spaces_of.answers(), spaces_of.health(), sorted(spaces_of.points(spaces_of.other))
    ran = run_script(SCRIPT, "--model", spaces_of.other, "--dry-run")
    after = spaces_of.answers(), spaces_of.health(), sorted(spaces_of.points(spaces_of.other))
    plan = ran.event("finished").get("plan", {})
    evidence.require(
        "a dry run names the steps",
        ran.exit_code == 0 and plan.get("write_both") is True and plan.get("switch") is True,
        expected="exit code 0, and write_both and switch in its plan",
        actual=f"{ran.told}; {plan}",
    )
    evidence.require(
        "and nothing has changed",
        before == after,
        expected="the same model behind the alias, the same gateway, the same points",
        actual="as before" if before == after else f"{before[:2]} became {after[:2]}",
    )
