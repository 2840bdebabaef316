"""security/key-age: keys that are too old are reported, and a rotation ends that."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import yaml

from fixtures.rotation import ENOUGH, Callers, KeyRoom, exported, poll, replace_file
from fixtures.rules import Rules
from fixtures.scripts import RunScript
from harness import conformance, needs
from harness.core.errors import NotAllowed
from harness.core.evidence import Evidence
from harness.drivers.base import Replace, Restart, Stack
from harness.drivers.embedded.rules import shipped_rules
from harness.drivers.operator import STABLE_MODEL

ALERT = "RAG_Key_Too_Old"
LIMITS = {"jwt": timedelta(days=90), "api": timedelta(days=60)}
"""Operations guide, section 8.1."""
MARGIN = timedelta(minutes=30)
"""Of a key that is not too old yet: as long as no case takes."""


def _shipped_expression() -> str:
    for text in shipped_rules().values():
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                if rule.get("alert") == ALERT:
                    return str(rule["expr"])
    raise LookupError(f"no alert {ALERT} is shipped")


def _asked(stack: Stack, expression: str) -> list[dict[str, str]]:
    """The labels of every series that an expression gives now; none while there is no answer."""
    url = stack.endpoint("metrics").url + "/api/v1/query"
    try:
        answer = httpx.get(url, params={"query": expression}, timeout=10, trust_env=False).json()
        return [each["metric"] for each in answer["data"]["result"]]
    except (httpx.HTTPError, ValueError, KeyError):
        return []


def _keys(stack: Stack, expression: str) -> set[str]:
    return {each.get("key", "") for each in _asked(stack, expression)}


@conformance("security/key-age", since="0.2")
@needs("restart", roles=["exporter", "metrics", "auth"])
def test_keys_beyond_their_age_are_reported_and_no_other(
    stack: Stack, key_room: KeyRoom, evidence: Evidence
) -> None:
    """A signing key of more than 90 days and an API key of more than 60 MUST be reported, by
    exporter and alert, and none that is younger."""
    # Nothing is restarted: the register is the whole target's, and others look at its alerts.
    now = datetime.now(UTC)
    ages = {
        ("jwt-over", "jwt"): LIMITS["jwt"] + timedelta(seconds=5),
        ("jwt-91", "jwt"): timedelta(days=91),
        ("jwt-under", "jwt"): LIMITS["jwt"] - MARGIN,
        ("jwt-89", "jwt"): timedelta(days=89),
        ("jwt-61", "jwt"): timedelta(days=61),
        ("api-over", "api"): LIMITS["api"] + timedelta(seconds=5),
        ("api-61", "api"): timedelta(days=61),
        ("api-under", "api"): LIMITS["api"] - MARGIN,
        ("api-59", "api"): timedelta(days=59),
    }
    entries: list[dict[str, Any]] = [
        {"key": key, "kind": kind, "created": (now - age).isoformat()}
        for (key, kind), age in ages.items()
    ]
    names = {key for key, _ in ages}
    due = {key for (key, kind), age in ages.items() if age > LIMITS[kind]}
    key_room.write(json.dumps({"keys": entries}))
    evidence.require(
        "the exporter tells since when each key is there",
        poll(lambda: names <= exported(stack).keys()),
        expected=sorted(names),
        actual=sorted(exported(stack)),
    )
    wrong = {
        key: round(exported(stack)[key] - (now - age).timestamp(), 1)
        for (key, _), age in ages.items()
        if abs(exported(stack)[key] - (now - age).timestamp()) > 1
    }
    evidence.require("and tells it truly", not wrong, expected="no more than 1 s off", actual=wrong)
    evidence.require(
        "Prometheus knows all of them",
        poll(lambda: names <= _keys(stack, "rag_key_created_timestamp_seconds")),
        expected=sorted(names),
        actual=sorted(_keys(stack, "rag_key_created_timestamp_seconds")),
    )
    poll(lambda: _keys(stack, _shipped_expression()) & names == due)
    reported = _keys(stack, _shipped_expression()) & names
    evidence.require(
        "the alert's rule names those that are too old, and no other",
        reported == due,
        expected=sorted(due),
        actual=sorted(reported),
    )
    alert = f'ALERTS{{alertname="{ALERT}"}}'
    poll(lambda: _keys(stack, alert) & names == due)
    raised = _keys(stack, alert) & names
    evidence.require(
        "the alert is raised for each of them, and for no other",
        raised == due,
        expected=sorted(due),
        actual=sorted(raised),
    )


@conformance("security/key-age", since="0.2")
@needs("read")
def test_the_alert_fires_after_its_days_and_not_before(rules: Rules, evidence: Evidence) -> None:
    """By its own clock, the shipped alert MUST fire for a signing key within an hour and a quarter
    of its 90th day's end, for an API key of its 60th's, and not before."""
    for kind, limit in LIMITS.items():
        # promtool's clock begins at 0: a key that was made so long before is 20 minutes short.
        made = -int(limit.total_seconds()) + 20 * 60
        series = f'rag_key_created_timestamp_seconds{{key="k", kind="{kind}"}}'
        fired = rules.firing(ALERT, {series: f"{made}x420"}, 100)
        evidence.require(
            f"a key of kind {kind} is reported once it is {limit.days} days old",
            bool(fired) and 80 <= fired[0] <= 95 and fired == [*range(fired[0], 101)],
            expected="from 1 h after its time, not sooner, and without a gap",
            actual=f"from minute {fired[0]}" if fired else "never",
        )


APPLY = 'export GATEWAY_EMBED_FALLBACK_API_KEY="$PROVIDER_KEY"; eval "exec $ROLL_GATEWAY_CMD"'
"""How an operator of the reference stack rolls its gateways over to a provider's key."""


@contextmanager
def _provider_in_use(stack: Stack, old: str, new: str) -> Iterator[None]:
    """The provider takes both keys, and every question of the gateway goes to it."""
    if not isinstance(stack, Restart) or not isinstance(stack, Replace):
        raise NotAllowed("This target's provider can't be given another key.")
    stack.restart("fallback", {"EMBED_API_KEYS": f"{old},{new}"})
    try:
        stack.replace("gateway", {"GATEWAY_EMBED_PROVIDER": "fallback"})
        yield
    finally:
        stack.restart("fallback", {"EMBED_API_KEYS": old})
        own = {"GATEWAY_EMBED_FALLBACK_API_KEY": old, "GATEWAY_EMBED_PROVIDER": ""}
        stack.replace("gateway", own)


@conformance("security/key-age", since="0.2", profiles=("full",))
@needs("restart", roles=["fallback", "edge", "exporter", "auth"])
def test_a_providers_key_is_renewed_and_no_request_fails(
    stack: Stack, key_room: KeyRoom, callers: Callers, run_script: RunScript, evidence: Evidence
) -> None:
    """A provider's key MUST be replaced by one that is seen to work, before the old one is dropped,
    with no failed request, and its age MUST begin anew; one that does not work MUST NOT get in."""
    old = stack.credentials("fallback")["api_key"]
    new = secrets.token_hex(20)
    key_room.age("fallback", timedelta(days=61))
    file = key_room.file.with_name(f"{key_room.file.name}-provider")
    replace_file(file, old)
    variables = {
        "PROVIDER_URL": stack.endpoint("fallback").url,
        "PROVIDER_MODEL": STABLE_MODEL,
        "PROVIDER_KEY_FILE": str(file),
        "PROVIDER_KEY_NAME": "fallback",
        "PROVIDER_KEY_APPLY_CMD": APPLY,
        "PROVIDER_KEY_DROP_CMD": "",
        "GATEWAY_URLS": stack.endpoint("edge").url,
        "GATEWAY_READY_PATH": "/healthz",
        "KEY_REGISTER": str(key_room.register),
    }
    with _provider_in_use(stack, old, new):
        callers.begin()
        callers.wait_for(ENOUGH)
        bad = run_script(
            "rotate_provider_key.sh", env={**variables, "NEW_PROVIDER_KEY": "never-issued-key"}
        )
        evidence.require(
            "a key that the provider refuses does not get in",
            bad.exit_code == 1 and file.read_text() == old,
            expected="exit code 1, and the old key",
            actual=bad.told,
        )
        ran = run_script("rotate_provider_key.sh", env={**variables, "NEW_PROVIDER_KEY": new})
        evidence.require(
            "the new key is put in, and the old one, which is still taken, is told of",
            ran.exit_code == 0 and file.read_text() == new and bool(ran.event("old_still_taken")),
            expected="exit code 0",
            actual=ran.told,
        )
        callers.wait_for(ENOUGH)
        callers.end()
        evidence.require(
            "no request fails",
            not callers.log.failed() and not callers.broken,
            expected="none",
            actual=callers.log.told() | {"broken": callers.broken},
        )
        assert isinstance(stack, Restart)
        stack.restart("fallback", {"EMBED_API_KEYS": new})
        last = run_script("rotate_provider_key.sh", env=variables)
        evidence.require(
            "once the provider refuses the old key, it is forgotten, and questions go on",
            last.exit_code == 0 and last.event("finished").get("dropped") is True
            and callers.question() == 200,
            expected="dropped, and an answer",
            actual=last.told,
        )  # fmt: skip
        fresh = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
        evidence.require(
            "its age begins anew",
            key_room.registered("fallback").timestamp() > fresh
            and poll(lambda: exported(stack).get("fallback", 0.0) > fresh),
            actual=key_room.registered("fallback").isoformat(),
        )
