"""Playbook for a canary model that answers badly (guide 6.3): take its share back."""

from __future__ import annotations

from typing import Any

import httpx

from chaos.playbooks.base import Playbook, Seen, Step, replaceable
from harness.core.errors import TargetError
from harness.drivers.base import Stack

ALIAS = "rag-chunks"
COMPLETE = 0.99
"""Share of the stable collection's points that a canary's must have: less, and a tenth of the users
search in what is not there yet."""


def _canary(stack: Stack) -> str | None:
    """Return the model that the gateway tries out, ``None`` if there is none."""
    told = _json(f"{stack.endpoint('gateway').url}/healthz", {})
    return str(told["embed_model"]) if told.get("canary") else None


def _points(stack: Stack, collection: str) -> int:
    url = f"{stack.endpoint('vectordb').url}/collections/{collection}/points/count"
    key = {"api-key": stack.credentials("vectordb").get("api_key", "")}
    return int(_json(url, key, {"exact": True})["result"]["count"])


def _json(url: str, headers: dict[str, str], body: Any = None) -> dict[str, Any]:
    try:
        if body is None:
            answer = httpx.get(url, headers=headers, timeout=5, trust_env=False)
        else:
            answer = httpx.post(url, headers=headers, json=body, timeout=10, trust_env=False)
        told = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise TargetError(
            "It can't be seen how the canary does.",
            expected=f"an answer from {url}",
            actual=f"{type(error).__name__}: {error}",
        ) from error
    return told if isinstance(told, dict) else {}


def _canary_lacks_points(stack: Stack) -> Seen:
    model = _canary(stack)
    if model is None:
        return Seen(False, {"canary": "none"})
    stable, own = _points(stack, ALIAS), _points(stack, f"{ALIAS}-{model}")
    return Seen(own < COMPLETE * stable, {"canary": model, "points": own, "stable_points": stable})


def _take_back(stack: Stack) -> None:
    replaceable(stack).rollback("gateway")


def _no_canary(stack: Stack) -> Seen:
    model = _canary(stack)
    return Seen(model is None, {"canary": model or "none"})


BAD_CANARY = Playbook(
    slug="bad-canary",
    title="The canary model answers badly",
    section="6.3",
    anchor="bad-canary",
    starts_when="Answers marked X-Embed-Canary: 1 are worse, empty or slower than the others, or "
    "users complain since a canary was switched on.",
    steps=(
        Step(
            slug="canary-off",
            sentence="If the canary's collection lacks points that the stable one has, take the "
            "canary back: embed everything with it first, then try again.",
            look="`curl -s http://GATEWAY:8080/healthz` says canary: true and its embed_model; "
            f'`curl -s -H "api-key: $QDRANT_API_KEY" -d \'{{"exact": true}}\' '
            f"http://QDRANT:6333/collections/{ALIAS}-<model>/points/count` against the same for "
            f"{ALIAS}.",
            command="take CANARY and GATEWAY_EMBED_MODEL in `.env` back to what they were, then "
            "`docker compose up -d rag-gateway`, as the other colour",
            expect="/healthz says canary: false, and no answer is marked X-Embed-Canary any more.",
            way_back="`python -m refstack.gateway.reindex` with the canary's model, then CANARY=1.",
            condition=_canary_lacks_points,
            action=_take_back,
            effect=_no_canary,
            ends_cause=True,
        ),
    ),
)
