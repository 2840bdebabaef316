"""A gateway of another API: whether it is well and what it is, asked through its adapter."""

from __future__ import annotations

import httpx

from harness.core.errors import HarnessError
from harness.core.gateway_api import GatewayApi, Health, Reply, Said

_PATIENCE_S = 5.0


def health(url: str, api: GatewayApi, timeout_s: float = _PATIENCE_S) -> Said:
    """What the gateway at ``url`` says of its health.

    Raises:
        httpx.HTTPError: it gives no answer. HarnessError: the adapter can't read the answer.
    """
    asked = Health()
    call = api.ask(asked)
    answer = httpx.request(
        call.method,
        url + call.target,
        json=call.json,
        headers=dict(call.headers),
        timeout=timeout_s,
        trust_env=False,
    )
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return api.read(asked, Reply(answer.status_code, headers, answer.text))


def problem(url: str, api: GatewayApi, timeout_s: float = _PATIENCE_S) -> str:
    """Why the gateway would not serve a request; empty where it would."""
    try:
        said = health(url, api, timeout_s)
    except (httpx.HTTPError, HarnessError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if said.status == 200 else f"its health is {said.status}"


def software(url: str, api: GatewayApi) -> tuple[str, str, bool]:
    """Software, version (``unknown`` where it is not told), and whether it is a stand-in.

    Raises:
        httpx.HTTPError, HarnessError: as :func:`health`.
    """
    said = health(url, api).body or {}
    name, version = said.get("software") or api.name, said.get("version") or "unknown"
    return str(name), str(version), bool(said.get("stand_in"))
