"""isolation/audit: the audit finds every planted leak and no other, and says so in the chat."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from fixtures.leaks import MISTAKES, LeakField, PointId, found_by
from fixtures.scripts import Ran, RunScript
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

CLEAN, LEAK, UNCHECKED = 0, 1, 2
FULL_POINTS = 100_000


def audited(run_script: RunScript, field: LeakField, out: Path, **more: Any) -> Ran:
    """Run the audit over the field's own collection."""
    arguments = ("--out", str(out), "--collections", field.collection)
    return run_script("leakage_audit.py", *arguments, **more)


def compare(
    evidence: Evidence, when: str, planted: dict[PointId, str], ran: Ran, out: Path
) -> None:
    """Require that the audit ended with a leak and named exactly the planted points, by kind."""
    evidence.require(
        f"{when}: the exit code tells a leak from a clean state",
        ran.exit_code == (LEAK if planted else CLEAN),
        expected=LEAK if planted else CLEAN,
        actual=ran.told,
    )
    found = found_by(out)
    missed = sorted(map(str, set(planted) - set(found)))
    evidence.require(
        f"{when}: every planted leak is found",
        not missed,
        expected=f"{len(planted)} points",
        actual=f"{len(missed)} missed: {missed[:5]}" if missed else f"{len(planted)} points",
    )
    more = [f"{point}: {each}" for point, each in found.items() if point not in planted]
    evidence.require(
        f"{when}: nothing else is reported",
        not more,
        expected="no sound point among the findings",
        actual=more[:5] or "none",
    )
    wrong = {str(p): (kind, found[p]["kind"]) for p, kind in planted.items()
             if found[p]["kind"] != kind}  # fmt: skip
    evidence.require(
        f"{when}: each is of its kind",
        not wrong,
        expected=dict(Counter(planted.values())),
        actual=dict(list(wrong.items())[:5]) or dict(Counter(planted.values())),
    )


@conformance("isolation/audit", since="0.2")
@needs("read", "write", roles=["vectordb", "metadata"])
def test_every_planted_leak_is_found_and_nothing_else(
    leak_field: LeakField, run_script: RunScript, tmp_path: Path, evidence: Evidence
) -> None:
    """Among sound points and those of a write under way the audit MUST report nothing; with 1, 10
    and 100 leaks planted by every sort of mistake it MUST report exactly these, each by its id and
    kind."""
    leak_field.announce(5)
    sound = audited(run_script, leak_field, tmp_path / "sound")
    compare(evidence, "before anything is planted", {}, sound, tmp_path / "sound")
    planted: dict[PointId, str] = {}
    for count in (1, 9, 90):
        planted |= leak_field.plant(count)
        out = tmp_path / str(len(planted))
        ran = audited(run_script, leak_field, out)
        compare(evidence, f"{len(planted)} planted", planted, ran, out)


@conformance("isolation/audit", since="0.2", profiles=("full",))
@needs("read", "write", roles=["vectordb", "metadata"])
@pytest.mark.timeout(900)
def test_leaks_among_a_hundred_thousand_points_are_found(
    leak_field: LeakField, run_script: RunScript, tmp_path: Path, evidence: Evidence
) -> None:
    """Among 100,000 points the audit MUST find exactly 1, 10 and 1,000 planted leaks."""
    leak_field.clear()
    leak_field.fill(FULL_POINTS)
    planted: dict[PointId, str] = {}
    for count in (1, 9, 990):
        planted |= leak_field.plant(count)
        out = tmp_path / str(len(planted))
        ran = audited(run_script, leak_field, out)
        compare(evidence, f"{len(planted)} planted", planted, ran, out)
        evidence.measure("audit of 100,000 points", ran.seconds, "s", n=FULL_POINTS)


@conformance("isolation/audit", since="0.2")
@needs("read", "write", roles=["vectordb", "metadata", "pager"])
def test_a_leak_is_reported_to_the_chat_with_a_link(
    stack: Stack,
    leak_field: LeakField,
    run_script: RunScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """A leak MUST be reported to the chat with a link to a page that names every leaked point,
    where it lies and whose it is; a clean audit MUST NOT disturb anybody."""
    receiver = f"chat-{leak_field.collection}"
    env = {"CHAT_WEBHOOK_URL": f"{stack.endpoint('pager').url}/{receiver}"}
    audited(run_script, leak_field, tmp_path / "sound", env=env)
    told = _delivered(stack, receiver)
    evidence.require("a clean audit says nothing", not told, expected="no message", actual=told)
    planted = leak_field.plant(len(MISTAKES))
    ran = audited(run_script, leak_field, tmp_path / "leak", env=env)
    told = _delivered(stack, receiver)
    evidence.require(
        "one message is delivered",
        len(told) == 1,
        expected="one message in the chat",
        actual=f"{len(told)}; {ran.told}",
    )
    text = str(told[0].get("text", ""))
    evidence.require(
        "it says how many points leaked",
        f"{len(planted)} of " in text,
        expected=f"{len(planted)} points",
        actual=text[:300],
    )
    page = _opened(text)
    evidence.require(
        "its link opens the report",
        "<html" in page,
        expected="a page",
        actual=page[:200] or f"no page behind {text[:300]}",
    )
    missing = [str(point) for point in planted if str(point) not in page]
    evidence.require(
        f"the page names each of {len(planted)} leaked points",
        not missing,
        expected="every id",
        actual=missing[:5] or "every id",
    )
    owners = {owned.tenant_id for owned in leak_field.owned if owned.point_id in planted}
    evidence.require(
        "the page says whose they are, and holds no text of any document",
        all(owner in page for owner in owners) and "a note" not in page,
        expected=sorted(owners),
        actual=[owner for owner in owners if owner not in page] or "all named",
    )


@conformance("isolation/audit", since="0.2")
@needs("read", "write", roles=["vectordb", "metadata", "pager"])
def test_what_could_not_be_checked_is_never_called_clean(
    stack: Stack,
    leak_field: LeakField,
    run_script: RunScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """An audit that cannot see every point and every owner MUST end with a code of its own, leave
    no report and tell the chat."""
    receiver = f"chat-{leak_field.collection}"
    chat = f"{stack.endpoint('pager').url}/{receiver}"
    blind = {
        "a vector store that is away": {"QDRANT_URL": "http://127.0.0.1:9"},
        "a key that opens nothing": {"QDRANT_API_KEY": "not-the-key"},
        "a role that sees its own rows only": {
            "DATABASE_URL": stack.credentials("metadata")["gateway_dsn"]
        },
    }
    for count, (what, env) in enumerate(blind.items(), start=1):
        out = tmp_path / f"blind-{count}"
        ran = audited(run_script, leak_field, out, env={"CHAT_WEBHOOK_URL": chat, **env})
        evidence.require(
            f"{what}: could not be checked",
            ran.exit_code == UNCHECKED,
            expected=f"exit code {UNCHECKED}, neither clean nor leak",
            actual=ran.told,
        )
        evidence.require(
            f"{what}: no report is left that could be taken for one, and no traceback",
            not (out / "report.json").exists() and "Traceback" not in ran.stderr,
            actual=ran.told,
        )
        told = _delivered(stack, receiver)
        evidence.require(
            f"{what}: the chat is told",
            len(told) == count and "could not be done" in str(told[-1]),
            expected="a message that says so",
            actual=told[-1:] or "no message",
        )


@conformance("isolation/audit", since="0.2")
@needs("read", "write", roles=["edge", "auth", "vectordb", "metadata"])
def test_ordinary_work_is_no_leak_and_leaves_none(
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    run_script: RunScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """Writing, replacing, moving to another persona and deleting through the gateway MUST leave no
    leak behind, and MUST NOT be taken for one while it is under way."""
    tenant = new_tenant("busy", ("work", "personal"))
    gateway = connect(tenant.token)
    stop, trouble = threading.Event(), []

    def work() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            document, persona = f"busy-{number % 7}", tenant.personas[number % 2]
            answer = gateway.put_document(persona, f"Note {number}.", document_id=document)
            if number % 3 == 0 and answer.status == 201:
                answer = gateway.delete_document(document)
            if answer.status not in (201, 204):
                trouble.append(f"{answer.status}: {answer.text[:200]}")

    writer = threading.Thread(target=work, name="writer")
    writer.start()
    try:
        during = [_of(tenant, run_script, tmp_path / f"during-{n}", evidence) for n in range(2)]
    finally:
        stop.set()
        writer.join(30)
    evidence.require("the work succeeds", not trouble, actual=trouble[:3] or "all of it")
    evidence.require(
        "work under way is no leak",
        not any(during),
        expected="no finding",
        actual=[each for found in during for each in found][:3] or "none",
    )
    after = _of(tenant, run_script, tmp_path / "after", evidence)
    evidence.require(
        "work that is done leaves no leak",
        not after,
        expected="no point that its owner does not name",
        actual=after[:3] or "none",
    )


def _of(
    tenant: Tenant, run_script: RunScript, out: Path, evidence: Evidence
) -> list[dict[str, Any]]:
    """Audit every collection; the findings that name this tenant."""
    ran = run_script("leakage_audit.py", "--out", str(out))
    evidence.require(
        "the audit can be done meanwhile",
        ran.exit_code in (CLEAN, LEAK),
        expected="a finished audit",
        actual=ran.told,
    )
    return [
        each
        for each in found_by(out).values()
        if tenant.id in (each["tenant_id"], each["owner_tenant"])
    ]


def _delivered(stack: Stack, receiver: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{stack.endpoint('pager').url}/deliveries",
        params={"receiver": receiver},
        timeout=5,
        trust_env=False,
    )
    return [entry["payload"] for entry in answer.json()]


def _opened(text: str) -> str:
    """What stands behind the link of a message."""
    deadline = time.monotonic() + 5
    for word in text.split():
        if word.startswith("file://"):
            path = Path(unquote(urlsplit(word).path))
            return path.read_text(encoding="utf-8") if path.is_file() else ""
        if word.startswith(("http://", "https://")) and time.monotonic() < deadline:
            return httpx.get(word, timeout=5, trust_env=False).text
    return ""
