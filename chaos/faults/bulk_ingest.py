"""Bulk ingest: many loaders write at once, and queries wait behind what they embed."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from chaos.faults import companion
from chaos.faults.base import Fault, Proof, in_range
from chaos.faults.notes import Notes
from harness.core.errors import NotAllowed, TargetError
from harness.core.evidence import NotConformant
from harness.drivers.base import Stack
from harness.drivers.gateway_http import AuthClient, GatewayClient, api_of, refuse_foreign_api

PERSONA = "bulk"
DOCUMENTS = 8
"""Documents in one request of a loader; each is written again and again under its own id."""

_SENTENCE = (
    "The operator restores a shard of the snapshot within its window, and the gateway retries "
    "each query until the replica has caught up with the archive of the cluster."
)
_SEEN_S = 15.0


@dataclass(frozen=True)
class BulkIngest(Fault):
    """A process of its own writes through the edge as a tenant of its own: ``loaders`` requests
    at any time, of eight documents of ``chunks`` chunks each. One that is refused waits a second
    and comes again, so the demand stays for as long as the fault is on, whatever becomes of it."""

    loaders: int = 16
    chunks: int = 4

    slug: ClassVar[str] = "bulk-ingest"
    sentence: ClassVar[str] = "Many loaders write at once, more than can be embedded in time."

    def __post_init__(self) -> None:
        in_range(self.slug, "loaders", self.loaders, 1, 256, "requests at a time")
        in_range(self.slug, "chunks", self.chunks, 1, 100, "chunks a document")

    @property
    def on(self) -> str:
        """The way in for documents."""
        return "gateway"

    def check_target(self, stack: Stack) -> None:
        """The gateway and the auth service are there, with a key to make the loaders' user."""
        super().check_target(stack)
        refuse_foreign_api(api_of(stack), "batches of the loaders")
        lacking = [role for role in ("edge", "auth") if role not in stack.roles()]
        if lacking or "service_key" not in stack.credentials("auth"):
            raise NotAllowed(
                f"The target {stack.name!r} can't have loaders of ours.",
                expected="the roles edge and auth, and auth's service key",
                actual=f"without {', '.join(lacking) or 'the service key'}",
            )

    def before(self, stack: Stack) -> dict[str, Any]:
        """How many batches the gateway has answered so far."""
        return {"batches": self._batches(stack)}

    def inject(self, stack: Stack) -> None:
        """Make a tenant and start the loaders; returns once one has been served."""
        notes = self._notes(stack)
        name, password = f"bulk-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
        notes.write(email=f"loader@{name}.example", password=password)
        auth = self._auth(stack)
        try:
            auth.create_user(f"loader@{name}.example", password, name, [PERSONA])
            token = auth.sign_in(f"loader@{name}.example", password)
        except NotConformant as error:
            raise TargetError("The loaders' user can't be made.", actual=str(error)) from error
        finally:
            auth.close()
        edge = stack.endpoint("edge")
        settings = {
            "host": edge.host,
            "port": edge.port,
            "path": "/v1/documents/batch",
            "headers": {"Authorization": f"Bearer {token}"},
            "bodies": [self._body(loader) for loader in range(self.loaders)],
        }
        kept = notes.read() or {}
        try:
            notes.write(**kept, companion=companion.start("documents", stack.run_id, settings))
        except companion.CompanionError as error:
            raise TargetError("The loaders could not be started.", actual=str(error)) from error

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The loaders run, and the gateway counts more batches, taken or refused."""
        kept = self._notes(stack).read() or {}
        runs = "companion" in kept and companion.alive(kept["companion"])
        first = self._batches(stack)
        deadline = time.monotonic() + _SEEN_S
        more = 0.0
        while runs and more < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
            more = self._batches(stack) - first
        return Proof(runs and more >= 2, {"loaders run": runs, "more batches": more})

    def heal(self, stack: Stack) -> None:
        """End the loaders and delete what they wrote."""
        notes = self._notes(stack)
        kept = notes.read()
        if kept is None:
            return
        if "companion" in kept:
            companion.end(kept["companion"])
            self._delete(stack, kept)
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The gateway is ready, and the notes are gone."""
        stack.ready("gateway")
        return Proof(self._notes(stack).read() is None, {"loaders run": False})

    def _delete(self, stack: Stack, kept: dict[str, Any]) -> None:
        auth = self._auth(stack)
        gateway = GatewayClient(
            stack.endpoint("edge").url, auth.sign_in(kept["email"], kept["password"]), timeout=30
        )
        try:
            left = self._names()
            deadline = time.monotonic() + 60.0
            while left and time.monotonic() < deadline:
                left = [n for n in left if gateway.delete_document(n).status not in (204, 404)]
            if left:
                raise TargetError("What the loaders wrote can't be deleted.", actual=left[:5])
        finally:
            gateway.close()
            auth.close()

    def _batches(self, stack: Stack) -> float:
        """Batches answered by the gateway that serves now, whatever the answer."""
        url = stack.endpoint("gateway").url + "/metrics"
        try:
            text = httpx.get(url, timeout=10, trust_env=False).text
        except httpx.HTTPError as error:
            raise TargetError("The gateway's metrics can't be read.", actual=str(error)) from error
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("rag_gateway_requests_total{") and '"/v1/documents/batch"' in line
        )

    def _names(self) -> list[str]:
        return [f"bulk-{w}-{i}" for w in range(self.loaders) for i in range(DOCUMENTS)]

    def _body(self, loader: int) -> dict[str, Any]:
        # About 170 words, which the gateway packs into one chunk.
        words = " ".join([_SENTENCE] * 6)
        return {
            "documents": [
                {
                    "document_id": f"bulk-{loader}-{number}",
                    "persona": PERSONA,
                    "text": "\n\n".join(
                        f"Part {part} of {number}. {words}" for part in range(self.chunks)
                    ),
                }
                for number in range(DOCUMENTS)
            ]
        }

    def _auth(self, stack: Stack) -> AuthClient:
        return AuthClient(stack.endpoint("auth").url, stack.credentials("auth")["service_key"])

    def _notes(self, stack: Stack) -> Notes:
        return Notes(stack, self.slug, self.on)
