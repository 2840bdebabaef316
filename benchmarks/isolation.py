"""How many hostile probes a second the whole stack answers, every answer searched for markers.

`python benchmarks/isolation.py [--seconds 10] [--threads 4]` boots an embedded stack and fires the
whole matrix (every probe, from every namespace at every other one) round after round. The bar is
300 probes a second on 2 cores, client included; exit status 1 when it is missed, or when a probe
leaks, since a figure of a stack that leaks is worth nothing.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fixtures.canaries import Canaries, plant
from fixtures.hostile import Hostile
from fixtures.tenants import Tenant, sign_up
from fixtures.tokens import Forger
from harness.checks.probes import odd
from harness.checks.probes_paths import READ_PROBES
from harness.checks.probes_query import QUERY_PROBES
from harness.drivers.base import Stack
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.gateway_http import AuthClient, GatewayClient

BAR = 300.0
"""Probes a second, on 2 cores."""


@dataclass
class Tally:
    """Probes of one group: how many, how many served with 2xx, seconds from request to answer."""

    sent: int = 0
    served: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


@contextmanager
def canaries_on(stack: Stack) -> Iterator[Canaries]:
    """Two tenants with documents on a stack that runs, outside of pytest."""
    auth = AuthClient(stack.endpoint("auth").url, stack.credentials("auth")["service_key"])
    opened: list[GatewayClient] = []

    def new_tenant(stem: str, personas: tuple[str, ...]) -> Tenant:
        return sign_up(auth, f"{stem}-{secrets.token_hex(4)}", personas)

    def connect(token: str | None, *, timeout: float = 15.0) -> GatewayClient:
        opened.append(GatewayClient(stack.endpoint("edge").url, token, timeout=timeout))
        return opened[-1]

    try:
        yield plant(new_tenant, connect, Forger.of(stack, auth), stack)
    finally:
        for client in (*opened, auth):
            client.close()


def fire(stack: Stack, seconds: float, threads: int) -> bool:
    """Fire for at least ``seconds`` in whole rounds; print the figures; whether the bar is kept."""
    probes = [*QUERY_PROBES.values(), *READ_PROBES.values()]
    groups: dict[str, Tally] = {}
    leaks, wrong = [], []
    with canaries_on(stack) as canaries:
        hostile = Hostile(canaries, stack.endpoint("edge"), threads)
        aims = canaries.aims(every=True)
        hostile.fire(probes[:20], aims)
        sent, began = 0, time.monotonic()
        while time.monotonic() < began + seconds:
            for probe, aim, request, seen in hostile.ask_all(probes, aims):
                leaks += hostile.judged(probe, aim, request, seen)
                wrong += [text] if (text := odd(probe, request, seen)) else []
                tally = groups.setdefault(probe.group, Tally())
                tally.sent += 1
                tally.served += 200 <= seen.status < 300
                tally.statuses[seen.status] += 1
                sent += 1
        took = time.monotonic() - began
        hostile.close()
    print(f"{'group':14} {'probes':>8} {'served':>8}   answers by status")
    for name, tally in sorted(groups.items()):
        statuses = ", ".join(f"{status}: {n}" for status, n in sorted(tally.statuses.items()))
        print(f"{name:14} {tally.sent:8} {tally.served:8}   {statuses}")
    rate = sent / took
    print(f"{sent} probes in {took:.1f} s: {rate:.0f} a second (bar: {BAR:.0f} on 2 cores; this")
    print(f"machine: {os.cpu_count()}), {len(leaks)} leaks, {len(wrong)} answers that were not due")
    for leak in leaks[:3]:
        print(f"  {leak}")
    return rate >= BAR and not leaks and not wrong


def main() -> int:
    """Boot, fire, print; 0 when the bar is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0, help="at least so long (10)")
    parser.add_argument("--threads", type=int, default=4, help="requests at a time (4)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragdrill-isolation-") as place:
        root = Path(place)
        stack = EmbeddedStack.boot(f"bench-{secrets.token_hex(3)}", root / "scratch", root / "logs")
        try:
            return 0 if fire(stack, asked.seconds, asked.threads) else 1
        finally:
            stack.down()


if __name__ == "__main__":
    sys.exit(main())
