"""logs/loss-free: an outage of the log store loses no line and doubles none."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable

from fixtures.faults import Inject
from fixtures.logs import RAG, LogLine, LogStore
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Restart, Stack
from harness.drivers.gateway_http import ReferenceGateway

SHORT_S = 2.0
MINUTE_S = 60.0
_PACE_S = 0.05
_LONG_PACE_S = 0.25
_CATCH_UP_S = 20.0


class Witness:
    """Sends requests with ids of their own and remembers them in order."""

    def __init__(self, gateway: ReferenceGateway) -> None:
        self._gateway = gateway
        self.ids: list[str] = []

    def send(self) -> None:
        """One request that leaves one line in the gateway's log."""
        each = f"loss-{secrets.token_hex(8)}"
        path = "/v1/documents/none-of-this-name"
        self._gateway.request("GET", path, headers={"X-Request-Id": each}).expect(404)
        self.ids.append(each)

    def seen(self, lines: list[LogLine]) -> list[str]:
        """The ids in the order of their lines in the store."""
        known = set(self.ids)
        words = ((word, line) for line in lines for word in line.text.split('"'))
        return [word for word, _ in words if word in known]


def _outage(
    seconds: float,
    pace_s: float,
    stack: Stack,
    log_store: LogStore,
    gateway: ReferenceGateway,
    faults: Inject,
    evidence: Evidence,
) -> None:
    """Log before, during and after an outage in which the shipper restarts too; count lines."""
    if not isinstance(stack, Restart):
        raise NotAllowed("The log shipper can't be restarted.", expected="a driver that can")
    witness = Witness(gateway)
    since = time.time() - 1
    for _ in range(10):
        witness.send()
    log_store.wait_for(RAG, since, lambda lines: len(witness.seen(lines)) >= 10)
    began = time.monotonic()
    with faults("kill", role="logs"):
        while time.monotonic() - began < seconds / 2:
            witness.send()
            time.sleep(pace_s)
        # What it had read and not delivered must not be lost with it.
        stack.restart("logship")
        while time.monotonic() - began < seconds:
            witness.send()
            time.sleep(pace_s)
    healed = time.monotonic()
    for _ in range(10):
        witness.send()
    lines = log_store.wait_for(
        RAG,
        since,
        lambda found: len(set(witness.seen(found))) >= len(witness.ids),
        timeout_s=_CATCH_UP_S,
    )
    evidence.measure("time to catch up", round(time.monotonic() - healed, 2), "s")
    evidence.measure("lines logged", len(witness.ids), "lines")
    seen = witness.seen(lines)
    missing = [each for each in witness.ids if each not in set(seen)]
    evidence.require(
        f"every line of {len(witness.ids)} is there after an outage of {seconds:g} s",
        not missing,
        expected="none missing",
        actual=f"{len(missing)} missing",
    )
    doubled = [each for each, count in Counter(seen).items() if count > 1]
    evidence.require("no line is there twice", not doubled, expected="none", actual=doubled)
    evidence.require(
        "the lines stand in the order in which they were written",
        seen == witness.ids,
        expected="the order of writing",
        actual="another one",
    )


@conformance("logs/loss-free", since="0.2")
@needs("read", "fault", "restart", roles=["edge", "logs", "logship"])
def test_a_short_outage_of_the_log_store_loses_no_line(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    faults: Inject,
    evidence: Evidence,
) -> None:
    """What is logged while the log store is dead and the shipper restarts MUST be found once the
    store is back, each line once and in order."""
    gateway = connect(new_tenant("loss", ("work",)).token)
    _outage(SHORT_S, _PACE_S, stack, log_store, gateway, faults, evidence)


@conformance("logs/loss-free", since="0.2", profiles=("full",))
@needs("read", "fault", "restart", roles=["edge", "logs", "logship"])
def test_a_minute_without_the_log_store_loses_no_line(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    faults: Inject,
    evidence: Evidence,
) -> None:
    """What is logged during a whole minute without a log store MUST be found once it is back, each
    line once and in order."""
    gateway = connect(new_tenant("loss", ("work",)).token)
    _outage(MINUTE_S, _LONG_PACE_S, stack, log_store, gateway, faults, evidence)
