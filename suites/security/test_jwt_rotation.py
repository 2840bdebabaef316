"""security/jwt-rotation: the key that signs changes, and nobody's request fails."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from fixtures.rotation import (
    ENOUGH,
    SIGNING,
    Callers,
    KeyRoom,
    brief_tokens,
    exported,
    kid_of,
    poll,
)
from fixtures.scripts import Ran, RunScript, StartScript
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

SCRIPT = "rotate_signing_key.sh"
SCRIPT_S = 240.0
LIFE_S = 4
"""Of the tokens in the case: long enough to use, short enough to see the last old one end."""


def _done(evidence: Evidence, what: str, ran: Ran) -> None:
    evidence.require(what, ran.exit_code == 0, expected="exit code 0", actual=ran.told)


def _calm(evidence: Evidence, callers: Callers) -> None:
    """Require that not one request failed, of very many."""
    evidence.require(
        "the customers were there all the time",
        not callers.broken,
        actual=callers.broken or "they were",
    )
    failed = callers.log.failed()
    evidence.require(
        "no request fails: no question, no sign-in, no refresh",
        not failed,
        expected="none",
        actual=callers.log.told(),
    )
    evidence.measure("requests through the rotation", len(callers.log.calls), "count")


def _user(stack: Stack, token: str) -> int:
    url = stack.endpoint("auth").url + "/user"
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(url, headers=headers, timeout=30, trust_env=False).status_code


@conformance("security/jwt-rotation", since="0.2")
@needs("restart", roles=["auth", "edge", "exporter"], features=["native-api"])
def test_no_request_fails_while_the_key_changes(
    stack: Stack,
    key_room: KeyRoom,
    callers: Callers,
    connect: Connect,
    new_tenant: Callable[..., Tenant],
    start_script: StartScript,
    evidence: Evidence,
) -> None:
    """While the signing key is rotated, no request may fail; tokens of the old key MUST work until
    they end, and MUST be refused once the old key is gone; the key's age MUST begin anew."""
    old = key_room.signer
    long_lived = new_tenant("long", ("work",)).token
    key_room.age(SIGNING, timedelta(days=91))
    with brief_tokens(stack, LIFE_S):
        callers.begin()
        evidence.require(
            "the customers are served before", callers.wait_for(ENOUGH, old),
            actual=callers.log.told(),
        )  # fmt: skip
        options = ("--settle-s", "0", "--margin-s", "1", "--wait")
        running = start_script(SCRIPT, *options, env=key_room.variables)
        running.wait_for_event("step", SCRIPT_S, step="switch", state="done")
        between = connect(long_lived).get_document("no-such-note").status, _user(stack, long_lived)
        seen_at = time.time()
        ran = running.finish()
        new = key_room.signer
        evidence.require(
            "the customers are served afterwards, with tokens of another key",
            ran.exit_code == 0 and new != old and callers.wait_for(ENOUGH, new),
            expected="exit code 0, and a new key",
            actual=f"{ran.told}; {callers.log.told()}",
        )
        callers.end()
    _calm(evidence, callers)
    retired = next(e for e in ran.log if e.get("step") == "retire" and e["state"] == "started")
    if seen_at >= datetime.fromisoformat(retired["ts"]).timestamp():
        evidence.inconclusive("this machine was too slow to look before the old key went")
    evidence.require(
        "a token of the old key is taken while the new one signs",
        between == (404, 200),
        expected=(404, 200),
        actual=between,
        kid=kid_of(long_lived),
    )
    evidence.require(
        "the old key is published no more",
        key_room.published() == {new},
        expected=[new],
        actual=sorted(key_room.published()),
    )
    refused = connect(long_lived).get_document("no-such-note").status
    evidence.require(
        "a token of the old key is refused once it is gone, though it has not ended",
        (refused, _user(stack, long_lived)) in ((401, 401), (401, 403)),
        expected="401 of the gateway, 401 or 403 of the auth service",
        actual=(refused, _user(stack, long_lived)),
        kid=kid_of(long_lived),
    )
    made = key_room.registered(SIGNING)
    fresh = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    evidence.require(
        "the key's age begins anew, and the exporter tells so",
        made.timestamp() > fresh and poll(lambda: exported(stack).get(SIGNING, 0.0) > fresh),
        expected="a date of now",
        actual=made.isoformat(),
    )


@conformance("security/jwt-rotation", since="0.2")
@needs("restart", roles=["auth", "edge", "exporter"], features=["native-api"])
def test_a_key_that_others_know_is_worth_nothing_at_once(
    stack: Stack,
    key_room: KeyRoom,
    connect: Connect,
    new_tenant: Callable[..., Tenant],
    run_script: RunScript,
    evidence: Evidence,
) -> None:
    """When a key is revoked, every token that it signed MUST be refused from then on, by whoever
    verifies; a sign-in MUST go on with another key. A dry run of it MUST change nothing."""
    old, before = key_room.signer, key_room.file.read_bytes()
    token = new_tenant("seen", ("work",)).token
    works = connect(token).get_document("no-such-note").status
    evidence.require(
        "a token of the key works before",
        (kid_of(token), works) == (old, 404),
        expected=(old, 404),
        actual=(kid_of(token), works),
    )
    dry = run_script(SCRIPT, "--compromised", old, "--dry-run", env=key_room.variables)
    evidence.require(
        "a dry run changes nothing",
        dry.exit_code == 0
        and key_room.file.read_bytes() == before
        and key_room.published() == {old},
        actual=dry.told,
    )
    _done(
        evidence,
        "the key can be revoked",
        run_script(SCRIPT, "--compromised", old, env=key_room.variables),
    )
    seen = {
        **{
            role: httpx.get(
                stack.endpoint(role).url + "/v1/documents/no-such-note",
                headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False,
            ).status_code
            for role in ("edge", "gateway")
        },
        "auth": _user(stack, token),
    }  # fmt: skip
    evidence.require(
        "from then on its tokens are refused everywhere",
        seen["edge"] == seen["gateway"] == 401 and seen["auth"] in (401, 403),
        expected="401 of the gateway, 401 or 403 of the auth service",
        actual=seen,
    )
    fresh = new_tenant("after", ("work",)).token
    status = connect(fresh).get_document("no-such-note").status
    evidence.require(
        "a sign-in goes on, with another key",
        kid_of(fresh) != old and status == 404 and key_room.published() == {kid_of(fresh)},
        expected=404,
        actual=(kid_of(fresh), status),
    )
    again = run_script(SCRIPT, "--compromised", old, env=key_room.variables)
    evidence.require(
        "to revoke it again does nothing",
        again.exit_code == 0 and key_room.published() == {kid_of(fresh)},
        actual=again.told,
    )


@conformance("security/jwt-rotation", since="0.2", profiles=("full",))
@needs("restart", roles=["auth", "edge", "exporter"], features=["native-api"])
def test_an_interrupted_rotation_goes_on_where_it_was(
    key_room: KeyRoom,
    connect: Connect,
    new_tenant: Callable[..., Tenant],
    run_script: RunScript,
    start_script: StartScript,
    evidence: Evidence,
) -> None:
    """A rotation that is killed midway MUST leave a set of keys that serves, and MUST be finished
    by running it again; one that is not due MUST do nothing."""
    old = key_room.signer
    key_room.age(SIGNING, timedelta(days=79))
    held = key_room.file.read_bytes()
    idle = run_script(SCRIPT, env=key_room.variables)
    evidence.require(
        "a key of 79 days is left alone",
        idle.exit_code == 0 and key_room.file.read_bytes() == held,
        actual=idle.told,
    )
    token = new_tenant("before", ("work",)).token
    key_room.age(SIGNING, timedelta(days=81))
    running = start_script(SCRIPT, "--settle-s", "0", env=key_room.variables)
    running.wait_for_event("step", step="publish", state="started")
    running.kill(signal.SIGKILL)
    running.finish(30)
    status = connect(token).get_document("no-such-note").status
    evidence.require("what was in force serves on", status == 404, expected=404, actual=status)
    _done(
        evidence,
        "the next run goes on",
        run_script(SCRIPT, "--settle-s", "0", env=key_room.variables),
    )
    new = key_room.signer
    fresh = new_tenant("fresh", ("work",)).token
    statuses = [connect(each).get_document("no-such-note").status for each in (token, fresh)]
    evidence.require(
        "the new key signs, and the old one's tokens work on",
        new != old and kid_of(fresh) == new and statuses == [404, 404],
        expected="a new kid, and 404 for both",
        actual=(old, kid_of(fresh), statuses),
    )
    evidence.require(
        "both keys, and no third one, are published",
        key_room.published() == {old, new},
        expected=sorted((old, new)),
        actual=sorted(key_room.published()),
    )
    before = key_room.file.read_bytes()
    told = run_script(SCRIPT, "--status", env=key_room.variables).event("finished")
    evidence.require(
        "its status says which key signs, which one is still taken, and what comes next",
        (told.get("signs"), told.get("verify"), told.get("phase")) == (new, [old], "retire"),
        expected=(new, [old], "retire"),
        actual=(told.get("signs"), told.get("verify"), told.get("phase")),
    )
    again = run_script(SCRIPT, env=key_room.variables)
    evidence.require(
        "run again before the old tokens have ended, it changes nothing",
        again.exit_code == 0 and key_room.file.read_bytes() == before,
        actual=again.told,
    )
