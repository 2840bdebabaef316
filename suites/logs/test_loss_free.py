"""logs/loss-free: an outage of the log store loses no line and doubles none."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fixtures.faults import Inject
from fixtures.logs import RAG, LogLine, LogStore
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Restart, Stack
from harness.drivers.gateway_http import GatewayClient

SHORT_S = 1.0
MINUTE_S = 60.0
LEAST = 20
"""Lines in each half of an outage, however slow the machine is: none lost of none shows nothing."""

_PACE_S = 0.02
_LONG_PACE_S = 0.25
_CATCH_UP_S = 60.0


class Witness:
    """Sends requests with ids of their own and remembers them in order."""

    def __init__(self, gateway: GatewayClient) -> None:
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


@contextmanager
def _stopped(stack: Restart, role: str) -> Iterator[None]:
    """The role is down for the length of the block."""
    stack.stop(role)
    try:
        yield
    finally:
        stack.start(role)


def _outage(
    outage: AbstractContextManager[object],
    seconds: float,
    pace_s: float,
    stack: Restart,
    log_store: LogStore,
    gateway: GatewayClient,
    evidence: Evidence,
) -> None:
    """Log before, during and after an outage in which the shipper restarts too; count lines."""
    witness = Witness(gateway)
    since = time.time() - 1

    def log_for(duration: float) -> None:
        end, least = time.monotonic() + duration, len(witness.ids) + LEAST
        while time.monotonic() < end or len(witness.ids) < least:
            witness.send()
            time.sleep(pace_s)

    log_for(0)
    log_store.wait_for(RAG, since, lambda lines: len(witness.seen(lines)) >= LEAST)
    with outage:
        log_for(seconds / 2)
        # What it had read and not delivered must not be lost with it.
        stack.restart("logship")
        log_for(seconds / 2)
    healed = time.monotonic()
    log_for(0)
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
        f"every line is there after an outage of {seconds:g} s",
        not missing,
        expected=f"{len(witness.ids)} lines",
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


def _restartable(stack: Stack) -> Restart:
    if not isinstance(stack, Restart):
        raise NotAllowed(
            "The log store and its shipper can't be restarted.",
            expected="a driver that can, or [control.<role>] commands in the target file",
            actual=type(stack).__name__,
        )
    return stack


@conformance("logs/loss-free", since="0.2")
@needs("read", "restart", roles=["edge", "logs", "logship"], features=["native-api"])
def test_a_short_outage_of_the_log_store_loses_no_line(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    evidence: Evidence,
) -> None:
    """What is logged while the log store is down and the shipper restarts MUST be found once the
    store is back, each line once and in order."""
    control = _restartable(stack)
    gateway = connect(new_tenant("loss", ("work",)).token)
    outage = _stopped(control, "logs")
    _outage(outage, SHORT_S, _PACE_S, control, log_store, gateway, evidence)


@conformance("logs/loss-free", since="0.2", profiles=("full",))
@needs("read", "fault", "restart", roles=["edge", "logs", "logship"], features=["native-api"])
def test_a_minute_without_the_log_store_loses_no_line(
    stack: Stack,
    log_store: LogStore,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    faults: Inject,
    evidence: Evidence,
) -> None:
    """What is logged during a whole minute after the log store was killed MUST be found once it is
    back, each line once and in order."""
    control = _restartable(stack)
    gateway = connect(new_tenant("loss", ("work",)).token)
    outage = faults("kill", role="logs")
    _outage(outage, MINUTE_S, _LONG_PACE_S, control, log_store, gateway, evidence)
