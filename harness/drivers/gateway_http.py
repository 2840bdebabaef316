"""Clients of the gateway's and the auth service's HTTP APIs, as a customer's program has them.

How the gateway's API puts a request is the matter of a :class:`GatewayApi`; the reference gateway's
is used where the target file names no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from harness.core.errors import NotAllowed
from harness.core.evidence import NotConformant
from harness.core.gateway_api import (
    FEATURES,
    REFERENCE,
    Delete,
    GatewayApi,
    List,
    Operation,
    Query,
    Read,
    Reply,
    Write,
    WriteBatch,
)
from harness.drivers.base import Adapted, Stack

BATCH_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, or the lack of one: ``status`` is 0 when the connection gave none.

    ``text`` and ``headers`` are what came. Through an adapter ``status`` is what it says, and so
    is the JSON of a success (``said``). ``target`` and ``body`` are what was asked for, as it went
    out: path with query, and the body's text.
    """

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    text: str
    error: str = ""
    said: Any = None
    target: str = ""
    body: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            NotConformant: the body is no JSON.
        """
        if self.said is not None:
            return self.said
        try:
            return httpx.Response(200, text=self.text).json()
        except ValueError as error:
            raise NotConformant(
                f"{self.method} {self.path} answered something that is no JSON.",
                expected="a JSON body",
                actual=self.text[:300] or "nothing",
            ) from error

    def expect(self, *statuses: int) -> Answer:
        """Return the answer itself if its status is one of ``statuses``.

        Raises:
            NotConformant: it is another one, or there was no answer.
        """
        if self.status not in statuses:
            raise NotConformant(
                f"{self.method} {self.path} did not answer as it must.",
                expected=" or ".join(str(status) for status in statuses),
                actual=f"{self.status or 'no answer'}: {self.error or self.text[:300]}",
            )
        return self


class HttpPeer:
    """A bounded HTTP client that reports a failed connection as an :class:`Answer`."""

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout: float = 15.0
    ) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url, headers=dict(headers or {}), timeout=timeout, trust_env=False
        )

    def request(self, method: str, path: str, **more: Any) -> Answer:
        """Send one request; never raises for what the other side does."""
        try:
            response = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            return Answer(method, path, 0, {}, "", f"{type(error).__name__}: {error}")
        sent = response.request
        return Answer(
            method,
            path,
            response.status_code,
            response.headers,
            response.text,
            target=sent.url.raw_path.decode("ascii", "replace"),
            body=sent.content.decode("utf-8", "replace"),
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class GatewayClient(HttpPeer):
    """A gateway, used with one token through ``api``.

    Raises:
        NotAllowed: of each operation, when the gateway's API lacks what it needs.
        HarnessError: likewise, when the adapter can't read the answer.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout: float = 15.0,
        api: GatewayApi = REFERENCE,
    ) -> None:
        super().__init__(url, headers=api.credentials(token) if token else {}, timeout=timeout)
        self.token, self.api = token, api

    def request(self, method: str, path: str, **more: Any) -> Answer:
        """Send one request of the reference gateway's own API, just as it is given."""
        refuse_foreign_api(self.api, f"{method} {path}")
        return super().request(method, path, **more)

    def ask(
        self,
        operation: Operation,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send the request for ``operation``; ``headers`` are of the reference gateway alone."""
        if headers:
            refuse_foreign_api(self.api, f"the headers {', '.join(headers)}")
        call = self.api.ask(operation)
        more: dict[str, Any] = {"headers": {**call.headers, **(headers or {})}}
        if call.json is not None:
            more["json"] = call.json
        if call.params:
            more["params"] = call.params
        if timeout is not None:
            more["timeout"] = timeout
        answer = super().request(call.method, call.path, **more)
        if self.api is REFERENCE or not answer.status:
            return answer
        plain = {name.lower(): value for name, value in answer.headers.items()}
        said = self.api.read(operation, Reply(answer.status, plain, answer.text))
        return replace(answer, status=said.status, said=said.body if said.status < 300 else None)

    def query(
        self,
        query: str,
        persona: str,
        *,
        top_k: int = 5,
        rerank: bool = True,
        filter: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask a question; 200 carries ``results``, ``embed_model``, ``degraded``, ``trace_id``."""
        return self.ask(Query(query, persona, top_k, rerank, filter), headers=headers)

    def put_document(
        self,
        persona: str,
        text: str,
        *,
        document_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Write a document; 201 means that it is durable in both stores."""
        return self.ask(Write(persona, text, document_id, dict(metadata or {})))

    def put_documents(self, documents: Sequence[Mapping[str, Any]]) -> Answer:
        """Write up to 256 documents, all or none."""
        rows = tuple(Write(**document) for document in documents)
        return self.ask(WriteBatch(rows), timeout=BATCH_TIMEOUT_S)

    def get_document(self, document_id: str) -> Answer:
        """Read a document of the token's tenant; 404 for absent and foreign alike."""
        return self.ask(Read(document_id))

    def list_documents(self, **parameters: Any) -> Answer:
        """List documents, paged by ``cursor`` and ``limit``."""
        return self.ask(List(**parameters))

    def delete_document(self, document_id: str) -> Answer:
        """Delete a document from both stores."""
        return self.ask(Delete(document_id))


ReferenceGateway = GatewayClient
"""The same, by the name it has where the gateway is the reference gateway for certain."""


def api_of(stack: Stack) -> GatewayApi:
    """Return the API that the gateway and the edge of a target speak."""
    return stack.gateway_api if isinstance(stack, Adapted) else REFERENCE


def refuse_foreign_api(api: GatewayApi, what: str) -> None:
    """Stop what only the reference gateway understands.

    Raises:
        NotAllowed: the gateway speaks another API, so an answer to ``what`` would show nothing.
    """
    if reason := api.missing("native-api"):
        raise NotAllowed(
            f"The gateway can't be asked in {FEATURES['native-api']}.",
            expected=f"the reference gateway, for {what}",
            actual=reason,
        )


class AuthClient(HttpPeer):
    """The auth service's API, Supabase Auth shaped, with its service key for user management."""

    def __init__(self, url: str, service_key: str) -> None:
        super().__init__(url)
        self._service = {"Authorization": f"Bearer {service_key}"}

    def create_user(
        self, email: str, password: str, tenant_id: str, personas: Sequence[str]
    ) -> str:
        """Create a user and return its id.

        Raises:
            NotConformant: the service refused.
        """
        body = {
            "email": email,
            "password": password,
            "email_confirm": True,
            "app_metadata": {"tenant_id": tenant_id, "personas": list(personas)},
        }
        answer = self.request("POST", "/admin/users", json=body, headers=self._service)
        return str(answer.expect(200, 201).json["id"])

    def sign_in(self, email: str, password: str) -> str:
        """Return an access token.

        Raises:
            NotConformant: the service refused.
        """
        answer = self.request(
            "POST",
            "/token?grant_type=password",
            json={"email": email, "password": password},
        )
        return str(answer.expect(200).json["access_token"])
