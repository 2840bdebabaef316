"""playbook/implied: what was rolled out is taken back, and that is what helps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from chaos.faults import Fault
from chaos.faults.identity import settings_of
from chaos.playbooks import Seen, replaceable
from chaos.playbooks.bad_canary import BAD_CANARY
from chaos.playbooks.failed_rollout import FAILED_ROLLOUT
from chaos.playbooks.gpu_lost import GPU_LOST
from chaos.playbooks.looking import metric
from fixtures.crowd import Crowd
from fixtures.faults import Injector
from fixtures.remedy import Remedy, Trouble
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import ReferenceGateway

NewTenant = Callable[..., Tenant]

CANARY = {
    "GATEWAY_EMBED_MODEL": "minilm-384",
    "GATEWAY_EMBED_STABLE_MODEL": "wordllama-256",
    "CANARY": "1",
    "GATEWAY_CANARY_SHARE": "0.5",
}
"""A model whose collection nobody has filled yet."""

TOO_TIGHT = {"GATEWAY_MAX_INFLIGHT": "1"}
ASKERS = 6
MOST_REFUSED = 0.05


@contextmanager
def rolled_out(stack: Stack, settings: Mapping[str, str]) -> Iterator[None]:
    """Have the gateway run with these settings; roll back at the end unless somebody has."""
    before = settings_of(stack, "gateway")
    replaceable(stack).replace("gateway", settings)
    try:
        yield
    finally:
        now = settings_of(stack, "gateway")
        # An empty value counts as none with the gateway.
        kept = {name: before.get(name, "") for name in settings}
        if {name: now.get(name, "") for name in settings} != kept:
            replaceable(stack).replace("gateway", kept)


def customer_of(new_tenant: NewTenant, connect: Connect, stem: str) -> ReferenceGateway:
    """Return a client of a new tenant with one document."""
    gateway = connect(new_tenant(stem, ("work",)).token)
    gateway.put_document("work", "The lamp is lit at dusk.", document_id="lamp").expect(201)
    return gateway


@conformance("playbook/implied", since="0.2")
@needs("read", "write", "restart", roles=["gateway", "edge", "vectordb"])
def test_taking_the_canary_back_gives_its_users_their_answers_again(
    remedy: Remedy, stack: Stack, new_tenant: NewTenant, connect: Connect
) -> None:
    """When a canary model searches a collection that nobody filled, its users MUST get their
    answers again once it is taken back, and not before."""
    gateway = customer_of(new_tenant, connect, "canary")

    def look() -> Seen:
        answer = gateway.query("When is the lamp lit?", "work", headers={"X-Embed-Canary": "1"})
        found = (
            [row["document_id"] for row in answer.json["results"]] if answer.status == 200 else []
        )
        return Seen("lamp" in found, {"status": answer.status, "found": found})

    trouble = Trouble(
        what="a canary without its points",
        on="gateway",
        begin=lambda _arm: rolled_out(stack, CANARY),
        staged=CANARY,
        look=look,
    )
    remedy.prove(BAD_CANARY, BAD_CANARY.step("canary-off"), trouble)


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "restart", roles=["gateway", "edge", "vectordb", "metadata"])
def test_rolling_back_ends_the_refusals_of_a_new_gateway(
    remedy: Remedy, stack: Stack, new_tenant: NewTenant, connect: Connect
) -> None:
    """When a new gateway refuses more than one query in twenty while all behind it is well, the
    roll-back MUST end that, and without it they stay refused."""
    token = customer_of(new_tenant, connect, "crowd").token

    def asker() -> Callable[[], bool]:
        gateway = connect(token)
        return lambda: gateway.query("When is the lamp lit?", "work", rerank=False).status == 200

    crowd = Crowd([asker() for _ in range(ASKERS)])
    trouble = Trouble(
        what="a gateway with too tight a limit",
        on="gateway",
        begin=lambda _arm: rolled_out(stack, TOO_TIGHT),
        staged=TOO_TIGHT,
        look=lambda: crowd.lately(MOST_REFUSED),
    )
    with crowd.asking():
        remedy.prove(FAILED_ROLLOUT, FAILED_ROLLOUT.step("roll-back"), trouble)


class FailedEmbeddings:
    """Whether the gateway went on failing to embed with the worker, of late."""

    LATELY_S = 6.0
    """Twice the pause of the gateway's circuit breaker: it tries the worker that often."""

    def __init__(self, stack: Stack, clock: Callable[[], float]) -> None:
        self._stack, self._clock = stack, clock
        self._last: float | None = None
        self._grew_at = float("-inf")

    def look(self) -> Seen:
        """Well if no call of the worker failed lately."""
        name = "rag_gateway_upstream_errors_total"
        count = metric(self._stack, "gateway", name, upstream="embed")
        # Another gateway counts from zero.
        if self._last is not None and count > self._last:
            self._grew_at = self._clock()
        self._last = count
        since = self._clock() - self._grew_at
        return Seen(since > self.LATELY_S, {"failed_embeddings": count, "since_s": round(since, 1)})


@conformance("playbook/implied", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=["gateway", "edge", "gpu", "metrics", "fallback"])
def test_embedding_elsewhere_leaves_a_worker_without_its_gpu_alone(
    remedy: Remedy,
    stack: Stack,
    injector: Injector,
    evidence: Evidence,
    new_tenant: NewTenant,
    connect: Connect,
) -> None:
    """When a GPU is lost, the step MUST end the failed embeddings with the GPU still gone, and
    without it they go on."""
    gateway = customer_of(new_tenant, connect, "gpu")
    crowd = Crowd([lambda: gateway.query("When is the lamp lit?", "work").status == 200])
    failed = FailedEmbeddings(stack, time.monotonic)
    on: list[Fault] = []

    @contextmanager
    def begin(arm: str) -> Iterator[None]:
        with injector.inject("gpu-device-lost", case=evidence.case, arm=arm) as fault:
            on[:] = [fault]
            yield

    def stays() -> Seen:
        proof = injector.still_on(on[0])
        return Seen(proof.ok, proof.seen)

    trouble = Trouble(
        what="a GPU off the bus", on="gpu", begin=begin, look=failed.look, stays=stays
    )
    with crowd.asking():
        remedy.prove(GPU_LOST, GPU_LOST.step("embed-elsewhere"), trouble)
