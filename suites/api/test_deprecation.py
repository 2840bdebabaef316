"""api/deprecation: what will go says so in time, where clients and their authors look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from fixtures.published import ApiUsers
from harness import conformance, needs
from harness.checks.openapi import Description, Operation
from harness.core.evidence import Evidence

NOTICE = timedelta(days=30)
"""Guide, section 12: deprecations are announced 30 days in advance."""

KEPT = "kept-until-sunset"
HEADERS = ("Deprecation", "Sunset", "Link")


def told_in(headers: Mapping[str, str]) -> tuple[datetime | None, datetime | None, str]:
    """Return since when and until when the headers say, ``None`` where they do not, and the path
    that they name as the successor's."""
    since = re.fullmatch(r"@(\d+)", headers.get("Deprecation", ""))
    link = re.search(r'<([^>]*)>\s*;\s*rel="?successor-version"?', headers.get("Link", ""))
    try:
        sunset = parsedate_to_datetime(headers["Sunset"])
    except (KeyError, ValueError):
        sunset = None
    began = datetime.fromtimestamp(int(since.group(1)), UTC) if since else None
    return began, sunset, link.group(1) if link else ""


def day(operation: Operation, name: str) -> datetime | None:
    """Return a day that the description gives of an operation."""
    try:
        return datetime.fromisoformat(str(operation.raw.get(name))).replace(tzinfo=UTC)
    except ValueError:
        return None


@conformance("api/deprecation", since="0.2")
@needs("read", "write", roles=["edge", "auth"], features=["native-api"])
def test_what_is_deprecated_says_so_in_headers_and_schema(
    published: Description, api_users: ApiUsers, evidence: Evidence
) -> None:
    """Each operation that the description calls deprecated SHOULD name there and in every answer
    since when, until when (30 days or more) and what to use, and work until then; no other does."""
    deprecated = [each for each in published.operations() if each.deprecated]
    api_users.whole.put_document("work", "The lamp is lit.", document_id=KEPT).expect(201)
    evidence.measure("deprecated operations", len(deprecated), "count")
    paths = {each.path for each in published.operations() if not each.deprecated}
    for operation in published.operations():
        path = re.sub(r"\{[^}]*\}", "gone-for-good", operation.path)
        ways = {
            "an answer": api_users.whole.request(operation.method.upper(), path),
            "a refusal": api_users.nobody.request(operation.method.upper(), path),
        }
        for way, answer in ways.items():
            found = [name for name in HEADERS if answer.headers.get(name)]
            evidence.require(
                f"{operation.label}: {way} ({answer.status}) "
                + ("says that it is deprecated" if operation.deprecated else "says nothing"),
                found == (list(HEADERS) if operation.deprecated else []),
                expected=", ".join(HEADERS) if operation.deprecated else "none of the headers",
                actual=", ".join(found) or "none of the headers",
            )
        if not operation.deprecated:
            continue
        told = told_in(ways["an answer"].headers)
        _in_time(operation, told, paths, evidence)
        if operation.method == "get" and told[1] is not None and told[1] > datetime.now(UTC):
            _works(operation, api_users, evidence)
    api_users.whole.delete_document(KEPT)


def _in_time(
    operation: Operation,
    told: tuple[datetime | None, datetime | None, str],
    paths: set[str],
    evidence: Evidence,
) -> None:
    since, sunset, successor = told
    described = day(operation, "x-deprecated-since"), day(operation, "x-sunset")
    evidence.require(
        f"{operation.label}: headers and schema name the same two days",
        None not in (since, sunset) and (since, sunset) == described,
        expected=f"since and until, as in the schema: {described}",
        actual=f"{(since, sunset)}",
    )
    assert since is not None and sunset is not None
    evidence.require(
        f"{operation.label} is told at least {NOTICE.days} days ahead",
        sunset - since >= NOTICE,
        expected=f"{NOTICE.days} days or more from Deprecation to Sunset",
        actual=f"{(sunset - since).days} days",
    )
    templates = [re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)) for path in paths]
    evidence.require(
        f"{operation.label} names what to use in its place",
        any(re.fullmatch(template, successor) for template in templates),
        expected="a path of the description that is not deprecated",
        actual=successor or "none",
    )


def _works(operation: Operation, users: ApiUsers, evidence: Evidence) -> None:
    """Until its sunset it answers what its successor answers."""
    old = users.whole.request("GET", re.sub(r"\{[^}]*\}", KEPT, operation.path))
    new = users.whole.request("GET", told_in(old.headers)[2] or "/v1/none")
    evidence.require(
        f"{operation.label} answers what its successor answers",
        old.status == new.status == 200 and old.json == new.json,
        expected=f"{new.status}: {new.text[:200]}",
        actual=f"{old.status}: {old.text[:200]}",
    )
