"""Clients of the gateway's and the auth service's HTTP APIs, as a customer's program has them.

Another gateway API is tested by another class with the methods of :class:`ReferenceGateway`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from harness.core.evidence import NotConformant


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, or the lack of one: ``status`` is 0 when the connection gave none."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    text: str
    error: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            NotConformant: the body is no JSON.
        """
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
        return Answer(method, path, response.status_code, response.headers, response.text)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class ReferenceGateway(HttpPeer):
    """The reference gateway's API (``/v1``), used with one token."""

    def __init__(self, url: str, token: str | None, *, timeout: float = 15.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(url, headers=headers, timeout=timeout)
        self.token = token

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
        body: dict[str, Any] = {
            "query": query,
            "persona": persona,
            "top_k": top_k,
            "rerank": rerank,
        }
        if filter is not None:
            body["filter"] = dict(filter)
        return self.request("POST", "/v1/query", json=body, headers=dict(headers or {}))

    def put_document(
        self,
        persona: str,
        text: str,
        *,
        document_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Write a document; 201 means that it is durable in both stores."""
        body: dict[str, Any] = {"persona": persona, "text": text, "metadata": dict(metadata or {})}
        if document_id is not None:
            body["document_id"] = document_id
        return self.request("POST", "/v1/documents", json=body)

    def put_documents(self, documents: Sequence[Mapping[str, Any]]) -> Answer:
        """Write up to 256 documents, all or none."""
        return self.request(
            "POST",
            "/v1/documents/batch",
            json={"documents": [dict(document) for document in documents]},
            timeout=60.0,
        )

    def get_document(self, document_id: str) -> Answer:
        """Read a document of the token's tenant; 404 for absent and foreign alike."""
        return self.request("GET", f"/v1/documents/{document_id}")

    def list_documents(self, **parameters: Any) -> Answer:
        """List documents, paged by ``cursor`` and ``limit``."""
        return self.request("GET", "/v1/documents", params=parameters)

    def delete_document(self, document_id: str) -> Answer:
        """Delete a document from both stores."""
        return self.request("DELETE", f"/v1/documents/{document_id}")


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
