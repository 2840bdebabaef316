"""isolation/query: who has nearly the name of another, or says that it is another where it may say
what it likes, is not the other."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from fixtures.canaries import Canaries, Canary, require_no_leak
from fixtures.hostile import Hostile
from fixtures.tenants import Connect, Tenant
from fixtures.tokens import Forger
from harness import conformance, needs
from harness.checks.markers import Finder, Leak, Marker, excerpt, new_word
from harness.checks.probes import Aim, Probe, judge, odd, whole_text
from harness.checks.probes_paths import READ_PROBES, WRITE_PROBES
from harness.checks.probes_query import QUERY_PROBES
from harness.core.evidence import Evidence
from harness.drivers.base import Stack
from harness.drivers.gateway_http import AuthClient

Name = Callable[[str], str]

NAMES: dict[str, Name] = {
    "in capitals": str.upper,
    "with one capital": str.capitalize,
    "in full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in t),
    "with a Cyrillic letter": lambda t: t.translate(str.maketrans("aey", "\u0430\u0435\u0443")),
    "with a combining mark": lambda t: t + "\u0301",
    "with a soft hyphen": lambda t: t.replace("-", "\u00ad-"),
    "with another hyphen": lambda t: t.replace("-", "\u2010"),
    "with a zero-width space": lambda t: t + "\u200b",
    "with a blank behind": lambda t: t + " ",
    "with a blank before": lambda t: " " + t,
    "with a line end": lambda t: t + "\n",
    "with NUL": lambda t: t + "\x00",
    "cut short": lambda t: t[:-1],
    "drawn out": lambda t: t + "0",
    "with a SQL wildcard": lambda t: t[:-1] + "_",
    "as a SQL pattern": lambda t: t[:4] + "%",
    "as a wildcard": lambda t: "*",
    "as a regular expression": lambda t: ".*",
    "in quotes": lambda t: f'"{t}"',
    "in a list": lambda t: f"x,{t}",
    "as a path": lambda t: f"x/../{t}",
    "percent-encoded": lambda t: t.replace("-", "%2D"),
    "with SQL": lambda t: f"x' OR tenant_id = '{t}",
}

SEPARATORS = ("-", ":", ".", "_", "@", "")
"""What a key of tenant and persona may be put together with, and a persona may hold."""

_LOOKS: tuple[Probe, ...] = (
    QUERY_PROBES["the plain query"],
    QUERY_PROBES["the plain query unranked"],
    READ_PROBES["read a foreign id"],
    READ_PROBES["the list"],
    READ_PROBES["the longest page"],
)
_HARMS: tuple[Probe, ...] = (
    WRITE_PROBES["write under a foreign id"],
    WRITE_PROBES["batch under a foreign id"],
    WRITE_PROBES["delete a foreign id"],
)


@dataclass(frozen=True)
class Pair:
    """A namespace and one that nearly has its name: ``what`` says how, ``aim`` is the latter's."""

    what: str
    victim: Canary
    victims_token: str
    aim: Aim
    token: str


def _aim(victim: Canary, tenant: str, persona: str) -> Aim:
    return Aim(
        tenant=tenant,
        persona=persona,
        own_id="doc-none",
        barred=victim.persona,
        other_tenant=victim.tenant,
        other_persona=victim.persona,
        document_id=victim.document_id,
        chunk_id=victim.chunk_id or "chunk-none",
        point_id=victim.point_id,
        text=victim.topic,
        word=victim.marker,
        keeper=victim.keeper,
    )


def _besieged(hostile: Hostile, pairs: list[Pair], finder: Finder) -> tuple[list[Leak], list[str]]:
    """Let each victim ask and its look-alike ask the very same right after; then do harm."""
    found, wrong = [], []
    for pair in pairs:
        as_victim = replace(pair.aim, persona=pair.victim.persona)
        for probe in (*_LOOKS, *_HARMS):
            if probe in _LOOKS:
                hostile.wire.send(probe.make(as_victim), pair.victims_token)
            request = probe.make(pair.aim)
            seen = hostile.wire.send(request, pair.token)
            found += judge(replace(probe, name=f"{probe.name}, {pair.what}"), pair.aim, request,
                           seen, finder)  # fmt: skip
            told = odd(replace(probe, refused=False), request, seen)
            wrong += [f"{pair.what}: {told}"] if told else []
    return found, wrong


def _require_own(
    evidence: Evidence, hostile: Hostile, pairs: list[Pair], finder: Finder, what: str
) -> None:
    found, wrong = _besieged(hostile, pairs, finder)
    sent = len(pairs) * (len(_LOOKS) + len(_HARMS))
    require_no_leak(evidence, f"{what}: nothing foreign in {sent} answers", found)
    evidence.require(
        f"{what}: each answer is its own or a refusal", not wrong, actual=wrong[:5] or "as due"
    )
    harmed = []
    for pair in {pair.victim.document_id: pair for pair in pairs}.values():
        as_victim = replace(pair.aim, persona=pair.victim.persona)
        seen = hostile.wire.send(_LOOKS[2].make(as_victim), pair.victims_token)
        if seen.status != 200 or pair.victim.marker not in seen.text:
            harmed.append(f"{pair.victim.document_id}: {seen.status}")
    evidence.require(
        f"{what}: what was theirs is as it was",
        not harmed,
        expected="every document read by its owner",
        actual=harmed[:5] or "as it was",
    )


def _tidy(hostile: Hostile, pairs: list[Pair]) -> None:
    for pair in pairs:
        hostile.wire.send(_HARMS[2].make(pair.aim), pair.token)


@pytest.fixture
def look_alikes(canaries: Canaries, forger: Forger, hostile: Hostile) -> Iterator[list[Pair]]:
    """For each of :data:`NAMES` a tenant whose name is nearly the quarry's."""
    _, quarry = canaries.pair()
    victim = canaries.of(quarry.id, "work")[0]
    pairs = []
    for what, change in NAMES.items():
        name = change(quarry.id)
        assert name != quarry.id, what
        token = forger.impostor(name, ("work",), quarry)
        pairs.append(
            Pair(f"as its name {what}", victim, canaries.tokens[quarry.id, "work"],
                 _aim(victim, name, "work"), token)
        )  # fmt: skip
    yield pairs
    _tidy(hostile, pairs)


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_a_tenant_that_looks_like_another_is_not_it(
    look_alikes: list[Pair], hostile: Hostile, canaries: Canaries, evidence: Evidence
) -> None:
    """A tenant whose name differs from another's in case, form, blanks or a letter that looks the
    same, or that holds wildcards or paths, MUST see and change nothing of the other, asking the
    same right after it."""
    finder = Finder(m for canary in canaries.documents for m in canary.markers)
    _require_own(evidence, hostile, look_alikes, finder, f"{len(NAMES)} names like another's")


@pytest.fixture
def joined(
    forger: Forger, canaries: Canaries, hostile: Hostile, connect: Connect
) -> Iterator[list[Pair]]:
    """For each of :data:`SEPARATORS` two namespaces that are the same once tenant and persona are
    put together with it."""
    _, quarry = canaries.pair()
    pairs = []
    for separator in SEPARATORS:
        stem, rest = f"joint{secrets.token_hex(3)}", secrets.token_hex(3)
        tenant = f"{stem}{separator}{rest}"
        word, keeper = new_word(), new_word()
        topic = "The keys of the boat house hang behind the second door."
        token = forger.impostor(tenant, ("work",), quarry)
        connect(token).put_document(
            "work", whole_text(topic, word), document_id=f"doc-{rest}", metadata={"keeper": keeper}
        ).expect(201)
        victim = Canary(tenant, "work", f"doc-{rest}", word, whole_text(topic, word), topic, keeper)
        persona = f"{rest}{separator}work"
        other = forger.impostor(stem, (persona,), quarry)
        what = f"with {separator!r} between tenant and persona"
        pairs.append(Pair(what, victim, token, _aim(victim, stem, persona), other))
    yield pairs
    _tidy(hostile, pairs)
    for pair in pairs:
        connect(pair.victims_token).delete_document(pair.victim.document_id)


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_two_names_that_join_alike_stay_apart(
    joined: list[Pair], hostile: Hostile, evidence: Evidence
) -> None:
    """Two namespaces whose tenant and persona give the same word when they are put together MUST
    see and change nothing of each other."""
    finder = Finder(marker for pair in joined for marker in pair.victim.markers)
    _require_own(evidence, hostile, joined, finder, "names that join alike")


SAID: dict[str, Callable[[Tenant], dict[str, Any]]] = {
    "a tenant in user_metadata": lambda t: {
        "user_metadata": {"tenant_id": t.id, "personas": list(t.personas)}
    },
    "a tenant beside app_metadata": lambda t: {
        "tenant_id": t.id, "tenant": t.id, "personas": list(t.personas), "org_id": t.id
    },
    "a tenant under another's name space": lambda t: {
        "https://hasura.io/jwt/claims": {"x-hasura-tenant-id": t.id, "x-hasura-role": "admin"}
    },
    "the other's address": lambda t: {"email": t.email},
    "the other as actor": lambda t: {"act": {"sub": t.id}, "azp": t.id},
    "scopes and groups": lambda t: {"scope": "admin *", "groups": [t.id], "is_admin": True},
}  # fmt: skip
"""Claims of a genuine token that a user may set, or that another service sets for it."""


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_only_the_tenant_that_auth_gave_counts(
    canaries: Canaries, forger: Forger, hostile: Hostile, evidence: Evidence
) -> None:
    """A genuine token that names another tenant anywhere but where auth puts a user's own MUST be
    taken for its own tenant's."""
    _, quarry = canaries.pair()
    victim = canaries.of(quarry.id, "work")[0]
    token = canaries.tokens[canaries.intruder.id, "work"]
    pairs = [
        Pair(f"with {what}", victim, canaries.tokens[quarry.id, "work"],
             _aim(victim, canaries.intruder.id, "work"), forger.claiming(token, said(quarry)))
        for what, said in SAID.items()
    ]  # fmt: skip
    try:
        finder = canaries.finder(canaries.intruder.id, "work")
        _require_own(evidence, hostile, pairs, finder, f"{len(SAID)} claims of another tenant")
    finally:
        _tidy(hostile, pairs)


PERSONAS: dict[str, Name] = {
    "in capitals": str.upper,
    "drawn out": lambda p: f"{p}-notes",
    "with something before": lambda p: f"my-{p}",
    "cut short": lambda p: p[:-1],
    "as a wildcard": lambda p: "*",
    "as a SQL pattern": lambda p: "%",
    "in a list": lambda p: f"work,{p}",
    "with a blank behind": lambda p: f"{p} ",
    "in full width": lambda p: "".join(chr(ord(c) + 0xFEE0) for c in p),
}


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_a_persona_that_looks_like_another_is_not_it(
    canaries: Canaries, forger: Forger, hostile: Hostile, evidence: Evidence
) -> None:
    """A user whose personas are only nearly called like one of the same tenant MUST be refused when
    asking as that one, and see nothing of it as itself."""
    _, quarry = canaries.pair()
    victim = canaries.of(quarry.id, "personal")[0]
    asked = [QUERY_PROBES["the plain query"], READ_PROBES["the list of the other persona"]]
    leaked: list[Leak] = []
    opened: list[str] = []
    for what, change in PERSONAS.items():
        held = change("personal")
        token = forger.impostor(quarry.id, (held,), quarry)
        finder = Finder(m for c in canaries.documents for m in c.markers)
        aim = _aim(victim, quarry.id, "personal")
        for probe in (*asked, READ_PROBES["the list"], READ_PROBES["read a foreign id"]):
            request = probe.make(aim)
            seen = hostile.wire.send(request, token)
            named = replace(probe, name=f"{probe.name}, with the persona {what}")
            leaked += judge(named, aim, request, seen, finder)
            if probe in asked and not 400 <= seen.status < 500:
                opened.append(f"{named.name}: {seen.status}")
    require_no_leak(evidence, f"{len(PERSONAS)} personas like another: nothing of it", leaked)
    evidence.require(
        "asking as the other persona is refused to each",
        not opened,
        expected="a client error",
        actual=opened[:5] or "refused",
    )


def _own_account(tenant: Tenant, email: str, password: str) -> list[tuple[str, str, Any]]:
    about = {"tenant_id": tenant.id, "personas": list(tenant.personas)}
    new = f"new-{secrets.token_hex(4)}@elsewhere.example"
    return [
        *(
            (method, "/user", {field: about})
            for method in ("PUT", "PATCH", "POST")
            for field in ("app_metadata", "raw_app_meta_data", "data", "user_metadata")
        ),
        ("PUT", "/user", {"role": "service_role", "aud": "authenticated"}),
        ("POST", "/signup", {"email": new, "password": password, "app_metadata": about}),
        ("POST", "/signup", {"email": f"x{new}", "password": password, "data": about}),
        ("POST", "/token?grant_type=password",
         {"email": email, "password": password, "app_metadata": about}),
        ("POST", f"/token?grant_type=password&tenant_id={tenant.id}",
         {"email": email, "password": password}),
        ("POST", "/invite", {"email": f"y{new}", "data": about}),
    ]  # fmt: skip


@conformance("isolation/query", since="0.2")
@needs("read", "write", roles=["edge", "auth"])
def test_no_user_gives_itself_another_tenant(
    canaries: Canaries, auth: AuthClient, stack: Stack, connect: Connect, evidence: Evidence
) -> None:
    """Whatever a user asks of auth with its own token, no token that it is given then MUST name
    another tenant or persona than the ones it was given."""
    hunter, quarry = canaries.pair()
    email, password = f"self-{secrets.token_hex(4)}@elsewhere.example", secrets.token_urlsafe(18)
    auth.create_user(email, password, hunter.id, ("work",))
    token = auth.sign_in(email, password)
    before = _named(token)
    calls = _own_account(quarry, email, password)
    given: list[str] = []
    statuses: list[int] = []
    with httpx.Client(base_url=stack.endpoint("auth").url, timeout=10, trust_env=False) as client:
        for method, path, body in calls:
            answer = client.request(
                method, path, json=body, headers={"Authorization": f"Bearer {token}"}
            )
            statuses.append(answer.status_code)
            given += _tokens_in(answer.text)
    given.append(auth.sign_in(email, password))
    named = [_named(each) for each in given]
    foreign = [each for each in named if quarry.id in json.dumps(each)]
    evidence.require(
        f"after {len(calls)} requests every token of the user names what it did",
        _named(given[-1]) == before and not foreign,
        expected=before,
        actual=foreign or _named(given[-1]),
        answers=statuses,
    )
    evidence.require(
        "each of them is taken or refused, and none trips the service",
        max(statuses) < 500,
        expected="no server error",
        actual=statuses,
    )
    target = canaries.of(quarry.id, "work")[0]
    finder = Finder([Marker(target.marker, quarry.id, "work", target.document_id, "text")])
    found = [
        Leak(
            probe="a token that a user was given by auth",
            asker=email,
            request="",
            where=str(answer.status),
            found=excerpt(answer.text, marker.word),
            whose=marker.whose,
            marker=marker.word,
        )
        for each in given
        for answer in (connect(each).query(target.topic, "work", top_k=50),)
        for marker in finder.find(answer.text)
    ]
    require_no_leak(evidence, f"none of {len(given)} tokens opens the other tenant", found)


def _named(token: str) -> Any:
    """What a token says of its bearer's tenant: ``app_metadata``."""
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return {k: claims.get("app_metadata", {}).get(k) for k in ("tenant_id", "personas")}


def _tokens_in(text: str) -> list[str]:
    try:
        said = json.loads(text)
    except ValueError:
        return []
    token = said.get("access_token") if isinstance(said, dict) else None
    return [token] if isinstance(token, str) else []
