"""api/semver: a client that was written for an earlier /v1/ goes on as it is."""

from __future__ import annotations

import json
import re
import secrets

from fixtures.published import ApiUsers, asked, every_answer
from harness import conformance, needs
from harness.checks.compatibility import breaking_changes
from harness.checks.openapi import Description
from harness.core.evidence import Evidence
from harness.core.guide import GUIDE

FROZEN = GUIDE / "openapi-v1.json"
"""The description of API version 1 as clients have it: changed by additions alone."""

SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)


def frozen() -> Description:
    """Return the description that clients of version 1 were written for."""
    return Description(json.loads(FROZEN.read_text(encoding="utf-8")))


@conformance("api/semver", since="0.2")
@needs("read", roles=["edge"], features=["native-api"])
def test_the_description_breaks_no_older_client(published: Description, evidence: Evidence) -> None:
    """Whatever the frozen description of /v1/ lets a client send MUST still be taken, and whatever
    may be answered MUST be what that client knows; versions MUST be semantic."""
    old = frozen()
    reasons = breaking_changes(old, published)
    evidence.require(
        f"no change of {len(old.operations())} operations breaks a client of theirs",
        not reasons,
        expected="additions alone",
        actual="; ".join(reasons[:8]) or "additions alone, or none",
    )
    version = str(published.document.get("info", {}).get("version"))
    evidence.require(
        "the version of the API is a semantic one",
        bool(SEMVER.fullmatch(version)),
        expected="MAJOR.MINOR.PATCH (semver.org)",
        actual=version,
    )
    strange = sorted(
        name
        for name in published.document.get("components", {}).get("schemas", {})
        if not re.match(r"v\d+\.", name)
    )
    evidence.require(
        "every schema says which version it belongs to",
        not strange,
        expected="components.schemas.v<N>.<name> (guide, section 12)",
        actual=strange or "each does",
    )


@conformance("api/semver", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_an_older_client_is_served_as_it_was(api_users: ApiUsers, evidence: Evidence) -> None:
    """What a client of the frozen description sends MUST get the answer that it got, in a form that
    the frozen description has."""
    old = frozen()
    known = {each.label for each in old.operations()}
    asks = [each for each in every_answer(f"old-{secrets.token_hex(4)}") if each.operation in known]
    for ask in asks:
        answer = asked(api_users, ask)
        operation = old.operation(ask.operation)
        wrong = old.problems(operation, answer.status, dict(answer.headers), answer.text)
        evidence.require(
            f"{ask.told} is answered as an older client knows it",
            answer.status == ask.status and not wrong,
            expected=f"{ask.status}, in the form that {FROZEN.name} has",
            actual="; ".join(wrong) or answer.status,
        )
    for row in api_users.whole.list_documents().expect(200).json["documents"]:
        api_users.whole.delete_document(row["document_id"])
