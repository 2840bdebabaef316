"""The two gateways behind nginx as an operator sees them: who serves, who is ready, who answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from harness.core.errors import TargetError, UsageError
from scripts.dayops.environment import Environment

COLOURS = ("blue", "green")
OTHER = {"blue": "green", "green": "blue"}
COLOUR_HEADER = "x-gateway-colour"
IN_A_ROW = 10
"""Fresh connections in a row that must reach the same colour before it counts as the one that
serves."""
_ANSWER_S = 5.0
_PROBE_S = 20.0
# A connection of its own for each request: a kept one may still lead to the former gateway.
_FRESH = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False)


@dataclass(frozen=True)
class Probe:
    """A real query: what is asked, with whose token, and the words that its answer holds."""

    path: str
    body: Any
    token: str
    expect: str

    @classmethod
    def of(cls, environment: Environment) -> Probe:
        """Read it from the variables. Raises UsageError for a body that is no JSON."""
        text = environment["GATEWAY_PROBE_BODY"]
        try:
            body = json.loads(text)
        except ValueError as error:
            raise UsageError(
                "GATEWAY_PROBE_BODY is no JSON.",
                expected='a query, such as {"query": "...", "persona": "..."}',
                actual=str(error),
            ) from None
        return cls(
            environment["GATEWAY_PROBE_PATH"],
            body,
            environment["GATEWAY_PROBE_TOKEN"],
            environment["GATEWAY_PROBE_EXPECT"],
        )


@dataclass(frozen=True)
class Answered:
    """What a query came to: ``problem`` is empty when it was answered, ``degraded`` when whole."""

    colour: str
    problem: str
    degraded: str = ""


def colour_at(url: str) -> str:
    """Return the colour that answers a fresh connection, ``nobody`` where none does."""
    try:
        answer = _FRESH.get(f"{url}/healthz", timeout=_ANSWER_S)
    except httpx.HTTPError:
        return "nobody"
    return answer.headers.get(COLOUR_HEADER, "nobody") if answer.status_code == 200 else "nobody"


def serving(url: str, patience_s: float) -> str:
    """Return the colour that answers :data:`IN_A_ROW` fresh connections in a row.

    Raises:
        TargetError: no colour did within ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    seen = [colour_at(url)]
    while len(seen) < IN_A_ROW or len(set(seen[-IN_A_ROW:])) > 1 or seen[-1] not in COLOURS:
        if time.monotonic() > deadline:
            raise TargetError(
                "It can't be told which gateway serves.",
                expected=f"{IN_A_ROW} answers in a row with one X-Gateway-Colour at {url}/healthz",
                actual=", ".join(seen[-IN_A_ROW:]),
                next_step="check GATEWAY_URL, nginx and the gateways",
            )
        if seen[-1] not in COLOURS:
            time.sleep(0.1)
        seen.append(colour_at(url))
    return seen[-1]


def unready(url: str, path: str) -> str:
    """Return why a gateway would not serve, or an empty string."""
    try:
        answer = _FRESH.get(url + path, timeout=_ANSWER_S)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return "" if answer.status_code == 200 else f"{answer.status_code}: {answer.text[:300]}"


def ask(url: str, probe: Probe) -> Answered:
    """Ask the real query over a fresh connection.

    An answer counts when it is a 200 that holds the expected words; where none are expected and
    it has ``results``, when there are some.
    """
    try:
        answer = _FRESH.post(
            url + probe.path,
            json=probe.body,
            headers={"Authorization": f"Bearer {probe.token}"},
            timeout=_PROBE_S,
        )
    except httpx.HTTPError as error:
        return Answered("nobody", f"{type(error).__name__}: {error}")
    colour = answer.headers.get(COLOUR_HEADER, "nobody")
    if answer.status_code != 200:
        return Answered(colour, f"{answer.status_code}: {answer.text[:300]}")
    try:
        said = answer.json()
    except ValueError:
        return Answered(colour, "the answer is no JSON")
    if probe.expect:
        found = probe.expect in json.dumps(said, ensure_ascii=False)
        lacking = "" if found else "the answer lacks what GATEWAY_PROBE_EXPECT holds"
    else:
        empty = isinstance(said, dict) and said.get("results") == []
        lacking = "the answer is empty" if empty else ""
    degraded = said.get("degraded") if isinstance(said, dict) else None
    return Answered(colour, lacking, json.dumps(degraded) if degraded else "")


def requests_of(url: str) -> float | None:
    """Return how many requests a gateway has counted, None where its metrics do not tell.

    Its own probes (``/healthz``, ``/readyz``, ``/metrics``) are left out: they are no traffic.
    """
    try:
        answer = _FRESH.get(f"{url}/metrics", timeout=_ANSWER_S)
    except httpx.HTTPError:
        return None
    rows = [
        line
        for line in answer.text.splitlines()
        if line.startswith("rag_gateway_requests_total{") and 'route="/v1/' in line
    ]
    return (
        sum(float(line.rsplit(" ", 1)[1]) for line in rows) if answer.status_code == 200 else None
    )


def stands_still(url: str, seconds: float) -> Callable[[], bool]:
    """Return a look that is true once the gateway's counter has not moved for ``seconds``.

    With ``seconds`` above 0 a gateway that does not tell its counter never stands still.
    """
    last: int | float | None = None
    since = time.monotonic()

    def look() -> bool:
        nonlocal last, since
        counted = requests_of(url)
        if counted is None or counted != last:
            last, since = counted, time.monotonic()
        return time.monotonic() - since >= seconds

    return look


def host_port(url: str) -> str:
    """Return ``host:port`` of an address, as nginx writes it."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
