"""Playbook for a signing key that others know, or that is overdue (guide 8.1): replace it."""

from __future__ import annotations

import json
import os
import secrets
import time

import httpx
from joserfc.jwk import ECKey

from chaos.playbooks.base import Playbook, Seen, Step, restartable
from harness.core.errors import TargetError
from harness.drivers.base import Stack

COMPROMISED = "COMPROMISED_KID"
"""Environment variable in which the operator names the key: no metric knows who has seen it."""

READY_S = 30.0


def published(stack: Stack) -> list[str]:
    """Return the ids of the keys that the auth service publishes.

    Raises:
        TargetError: it does not answer.
    """
    url = stack.endpoint("auth").url + "/.well-known/jwks.json"
    try:
        keys = httpx.get(url, timeout=5, trust_env=False).raise_for_status().json()["keys"]
        return sorted(str(key["kid"]) for key in keys)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise TargetError(
            "The published keys can't be read.",
            expected=f"a key set from {url}",
            actual=f"{type(error).__name__}: {error}",
        ) from error


def _still_published(stack: Stack) -> Seen:
    named, kids = os.environ.get(COMPROMISED, ""), published(stack)
    return Seen(named in kids, {COMPROMISED: named or "not set", "published": kids})


def _replace(stack: Stack) -> None:
    key = ECKey.generate_key("P-256", private=True).as_dict(private=True)
    key |= {"kid": secrets.token_hex(8), "use": "sig", "alg": "ES256", "key_ops": ["sign"]}
    # Nothing of the old one is kept, not even for verifying: whoever has it could go on signing.
    restartable(stack, "auth").restart("auth", {"GOTRUE_JWT_KEYS": json.dumps([key])})
    stack.ready("auth", READY_S)


def _no_longer_published(stack: Stack) -> Seen:
    seen = _still_published(stack)
    return Seen(not seen.ok, {**seen.detail, "at": round(time.time(), 1)})


KEY_COMPROMISED = Playbook(
    slug="key-compromised",
    title="A signing key is known to others, or overdue",
    section="8.1",
    anchor="key-compromised",
    starts_when="RAG_Key_Too_Old fires, or somebody has seen a key who should not have. A key that "
    "is merely overdue is rotated in working hours (`scripts/rotate_signing_key.sh --now`), with "
    "the old one kept for verifying until its last token has expired; this page is for the other "
    "kind.",
    alerts=("RAG_Key_Too_Old",),
    steps=(
        Step(
            slug="replace-signing-key",
            sentence="If the compromised key is still published, replace it at once and keep "
            "nothing of it: every token dies, and everybody has to sign in again.",
            look="`curl -s http://SUPABASE:8000/.well-known/jwks.json | jq -r '.keys[].kid'` names "
            "the key. Say which one it is: `export COMPROMISED_KID=<kid>`.",
            command='`scripts/rotate_signing_key.sh --compromised "$COMPROMISED_KID"`; by hand: '
            'put a new key alone into GOTRUE_JWT_KEYS (one JWK with `"key_ops": ["sign"]`), then '
            "`docker compose up -d supabase-auth`",
            expect="The old kid is no longer published; within 10 s the gateway refuses the old "
            "tokens with 401.",
            way_back="None, and none is wanted: the old key must never come back.",
            condition=_still_published,
            action=_replace,
            effect=_no_longer_published,
            ends_cause=True,
        ),
    ),
)
