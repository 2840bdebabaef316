"""What the driver contract promises of traffic: rollouts without a failed request, real links."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from contract_asker import Asker, crowd, eventually
from contract_checks import needs

from harness.core.errors import HarnessError, TargetError
from harness.core.evidence import NotConformant
from harness.drivers.base import Kill, Links, Replace, Restart, Stack
from harness.drivers.embedded import http

FELT_MS = 700
OTHERS = ("auth", "rerank", "embed")
"""Engines give out the lowest address that is free: of four the gateway's is hardly the highest."""
CONNECTS_S = 1.2
"""A first packet that nobody took is sent again after a second."""


def a_rollout_drops_no_request(stack: Stack, asker: Asker) -> None:
    """Another colour serves with other settings, and a rollback takes both back."""
    needs(stack, Replace, Links)
    assert isinstance(stack, Replace)
    assert eventually(asker.answers)

    def serving() -> tuple[str, str]:
        answer = http.request("GET", f"{asker.url}/healthz")
        return answer.headers["x-gateway-colour"], answer.json()["embed_provider"]

    old = serving()
    with crowd(asker) as told:
        stack.replace("gateway", {"GATEWAY_EMBED_PROVIDER": "fallback"})
        rolled = serving()
        stack.rollback("gateway")
        back = serving()
    assert rolled[0] != old[0] and rolled[1] == "fallback" and back == old
    assert told.failed() == {}, told.failed()
    assert set(told.colours) == {"blue", "green"} and told.statuses["200"] > 4


def a_bad_rollout_leaves_the_old_one_serving(stack: Stack, asker: Asker) -> None:
    needs(stack, Replace, Links)
    assert isinstance(stack, Replace)
    colour = http.request("GET", f"{asker.url}/healthz").headers["x-gateway-colour"]
    with pytest.raises(TargetError, match="health check"):
        stack.replace("gateway", {"GATEWAY_TIMEOUT_S": "never"})
    assert http.request("GET", f"{asker.url}/healthz").headers["x-gateway-colour"] == colour
    with pytest.raises(TargetError, match="restart"):
        stack.replace("embed", {})
    assert asker.answers()


def what_comes_back_is_not_taken_for_another(stack: Stack, asker: Asker) -> None:
    """While the gateway and others are down and come back, the gateway answers or nobody."""
    needs(stack, Kill, Restart, Links)
    assert isinstance(stack, Kill) and isinstance(stack, Restart)
    assert eventually(asker.answers)
    with crowd(asker) as told:
        for role in ("gateway", *OTHERS):
            stack.kill(role)
        for role in OTHERS:
            stack.start(role)
        # Whoever began to connect before may only now get through.
        time.sleep(CONNECTS_S)
        stack.start("gateway")
        assert eventually(asker.answers)
    strange = {status: count for status, count in told.failed().items() if status.startswith("4")}
    assert not strange, f"somebody else answered for the gateway: {strange}"


def links_carry_the_traffic(stack: Stack, asker: Asker) -> None:
    """With a link cut, exactly what goes over it fails: nothing takes another way."""
    needs(stack, Links)
    assert isinstance(stack, Links)
    names = {link.name for link in stack.links()}
    colour = http.request("GET", f"{asker.url}/healthz").headers["x-gateway-colour"]
    assert f"edge-{colour}" in names
    assert eventually(asker.answers)

    def degraded(word: str) -> bool:
        answer = asker.query()
        return answer.status == 200 and word in (answer.json["degraded"] or [])

    def signs_in() -> bool:
        try:
            asker.sign_in()
        except (HarnessError, NotConformant, httpx.HTTPError):
            return False
        return True

    effects = {
        f"edge-{colour}": lambda: asker.query().status == 502,
        "gateway-embed": lambda: degraded("embed_fallback"),
        "gateway-rerank": lambda: degraded("rerank_unavailable"),
        "gateway-vectordb": lambda: asker.query().status == 503,
        "gateway-metadata": lambda: asker.query().status == 503,
        "auth-metadata": lambda: not signs_in(),
        "operator-metadata": lambda: not operator_gets_in(stack),
    }
    for name, shows in effects.items():
        assert name in names, name
        with cut(stack, name):
            assert eventually(shows), f"with {name} cut nothing fails: it is bypassed"
        assert eventually(asker.answers), name
    assert eventually(signs_in) and operator_gets_in(stack)


def operator_gets_in(stack: Stack) -> bool:
    """Whether the operator's link leads to the metadata store."""
    try:
        psycopg.connect(stack.credentials("metadata")["operator_dsn"], connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


@contextlib.contextmanager
def cut(stack: Links, name: str) -> Iterator[None]:
    """The link refuses connections for the length of the block."""
    proxy = f"{stack.faultproxy()}/proxies/{name}"
    assert http.request("POST", proxy, json_body={"enabled": False}).status == 200
    try:
        yield
    finally:
        http.request("POST", proxy, json_body={"enabled": True})


def a_toxic_on_a_link_is_felt(stack: Stack, asker: Asker) -> None:
    needs(stack, Links)
    assert isinstance(stack, Links)
    assert eventually(asker.answers)
    toxics = f"{stack.faultproxy()}/proxies/gateway-vectordb/toxics"
    body = {"name": "slow", "type": "latency", "attributes": {"latency": FELT_MS, "jitter": 0}}

    def seconds() -> float:
        began = time.monotonic()
        asker.query().expect(200)
        return time.monotonic() - began

    assert http.request("POST", toxics, json_body=body).status == 200
    try:
        # Slow for another reason it may be too; faster than the toxic it may never be.
        assert min(seconds() for _ in range(3)) > FELT_MS / 1000
    finally:
        http.request("DELETE", f"{toxics}/slow")
    assert eventually(lambda: seconds() < FELT_MS / 1000)
