"""What a freshly booted stack gets to be tried out with: a tenant, a user and a few documents."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError
from harness.core.evidence import NotConformant
from harness.drivers.embedded.state import write_private
from harness.drivers.gateway_http import AuthClient, ReferenceGateway
from harness.drivers.reference import ReferenceStack

_FILE = "demo.json"
_EMAIL = "demo@example.org"
_BATCH = 128


@dataclass(frozen=True)
class Demo:
    """The demo user's tenant, persona and token, and how many documents there are."""

    tenant: str
    persona: str
    token: str
    documents: int
    question: str

    def curl(self, url: str, token: str) -> str:
        """A command that asks a question which the documents answer."""
        body = json.dumps({"query": self.question, "persona": self.persona, "top_k": 3})
        body = body.replace("'", "'\\''")
        return (
            f'curl -s {url}/v1/query -H "Authorization: Bearer {token}" \\\n'
            f"  -H 'Content-Type: application/json' \\\n"
            f"  -d '{body}'"
        )


def prepare_demo(stack: ReferenceStack, data: Path | None) -> Demo:
    """Create the user and store the sample corpus below ``data``, if it is there.

    Raises TargetError when the stack refuses.
    """
    tenant, persona, password = "demo", "work", secrets.token_urlsafe(18)
    write_private(stack.scratch / _FILE, json.dumps({"email": _EMAIL, "password": password}))
    auth = _auth(stack)
    passages, question = _sample(data)
    try:
        auth.create_user(_EMAIL, password, tenant, [persona])
        token = auth.sign_in(_EMAIL, password)
        gateway = ReferenceGateway(stack.endpoint("edge").url, token)
        rest = iter(passages)
        while batch := list(islice(rest, _BATCH)):
            gateway.put_documents([_document(each, persona) for each in batch]).expect(201)
        gateway.close()
    except NotConformant as error:
        raise TargetError(
            "The stack came up but did not take the demo user or documents.",
            actual=f"{error} It said: {error.actual}",
            next_step="ragdrill verify tells what is wrong with it",
        ) from error
    finally:
        auth.close()
    return Demo(tenant, persona, token, len(passages), question)


def recall_demo(stack: ReferenceStack) -> str:
    """A fresh token of the demo user; raises TargetError for a stack that has none."""
    try:
        saved: dict[str, str] = json.loads((stack.scratch / _FILE).read_text())
        auth = _auth(stack)
        try:
            return auth.sign_in(saved["email"], saved["password"])
        finally:
            auth.close()
    except (OSError, ValueError) as error:
        raise TargetError(
            "This stack has no demo user.",
            expected="a stack that `ragdrill up` booted",
            actual=stack.run_id,
        ) from error
    except NotConformant as error:
        raise TargetError("The demo user could not sign in.", actual=str(error)) from error


def _auth(stack: ReferenceStack) -> AuthClient:
    return AuthClient(stack.endpoint("auth").url, stack.credentials("auth")["service_key"])


def _document(passage: dict[str, Any], persona: str) -> dict[str, Any]:
    return {
        "document_id": passage["passage_id"],
        "persona": persona,
        "text": passage["text"],
        "metadata": {"title": passage["title"], "source": passage["source"]},
    }


def _sample(data: Path | None) -> tuple[list[dict[str, Any]], str]:
    sample = data / "sample" if data is not None else None
    if sample is None or not (sample / "passages.jsonl").exists():
        return [], "What is stored here?"
    passages = [json.loads(line) for line in (sample / "passages.jsonl").open(encoding="utf-8")]
    with (sample / "questions.jsonl").open(encoding="utf-8") as questions:
        question = json.loads(questions.readline())["question"]
    return passages, question
