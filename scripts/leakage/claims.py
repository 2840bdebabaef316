"""The vector store's side: what each point's payload claims, in the order of the ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import httpx
import orjson

from harness.checks.collection import Collection, PointId
from harness.core.errors import TargetError

FIELDS = ("tenant_id", "persona", "document_id", "chunk_id")
PAGE = 10_000
"""Points a page: about 3 MB of JSON, and few enough requests that their cost does not show."""

TIMEOUT_S = 60.0
Point = dict[str, Any]


class VectorStore:
    """A Qdrant-compatible store, with full rights. A context manager."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url, self._api_key = url, api_key
        self._client = httpx.Client(
            base_url=url, headers={"api-key": api_key}, timeout=TIMEOUT_S, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_about: object) -> None:
        self._client.close()

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted.

        Raises:
            TargetError: the store does not answer, or refuses.
        """
        result = self._call("GET", "/collections")
        return sorted(each["name"] for each in result["collections"])

    def open(self, name: str) -> Collection:
        """Return a collection to read from; the caller closes it."""
        return Collection(self._url, name, api_key=self._api_key, timeout_s=TIMEOUT_S)

    def delete(self, collection: str, where: Mapping[str, Any]) -> None:
        """Delete the points that a filter matches; returns once that is applied.

        Raises:
            TargetError: the store refuses, or does not say that it is done.
        """
        path = f"/collections/{collection}/points/delete"
        result = self._call("POST", f"{path}?wait=true", {"filter": dict(where)})
        if result.get("status") != "completed":
            raise TargetError(
                f"The vector store has not applied a deletion in {collection}.",
                expected="status completed",
                actual=result.get("status"),
                next_step="run the purge again: what is gone already is no error",
            )

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        content = None if body is None else orjson.dumps(body)
        try:
            answer = self._client.request(method, path, content=content, headers=headers)
            document = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError) as error:
            raise TargetError(
                f"The vector store gives no answer to {method} {path}.",
                expected="Qdrant's REST API at QDRANT_URL",
                actual=f"{type(error).__name__}: {error}",
                next_step="check QDRANT_URL, and that the store runs",
            ) from error
        if document is None or "result" not in document:
            raise TargetError(
                f"The vector store refuses {method} {path}.",
                expected="200",
                actual=f"{answer.status_code}: {answer.text[:200]}",
                next_step="check QDRANT_API_KEY: it takes full rights",
            )
        return document["result"]


def pages(collection: Collection) -> Iterator[list[Point]]:
    """Yield every point's id and claims, page by page, in the order of the ids.

    Raises:
        TargetError: the store gives points out of their order, so that they cannot be merged.
    """
    last: tuple[bool, PointId] | None = None
    for page in collection.scroll(vectors=False, payload=FIELDS, page=PAGE):
        if not page:
            continue
        for each in (page[0], page[-1]):
            # Numbers come before UUIDs, which sort as their text does.
            place = (isinstance(each["id"], str), each["id"])
            if last is not None and place < last:
                raise TargetError(
                    f"The vector store scrolls {collection.name} out of order.",
                    expected="ascending ids",
                    actual=f"{place[1]} after {last[1]}",
                )
            last = place
        yield page


def with_ids(collection: Collection, ids: Sequence[PointId]) -> list[Point]:
    """Return the claims of the points with these ids, as they are now; absent ones are left out."""
    where = {"must": [{"has_id": list(ids)}]}
    found: list[Point] = []
    for page in collection.scroll(vectors=False, payload=FIELDS, where=where, page=PAGE):
        found += page
    return found


def claim_of(point: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Return tenant, persona, document and chunk as the payload says; None where it does not."""
    payload = point.get("payload") or {}
    tenant, persona, document, chunk = (payload.get(field) for field in FIELDS)
    return tenant, persona, document, chunk


def note_of(claim: tuple[Any, Any, Any, Any]) -> str | None:
    """Return what is wrong with a payload by itself, or None."""
    if all(value is None for value in claim):
        return "the payload is empty"
    wrong = []
    for field, value in zip(FIELDS, claim, strict=True):
        if value is None:
            wrong.append(f"no {field}")
        elif not isinstance(value, str):
            # A list matches the filter of every tenant that it names.
            wrong.append(f"{field} is no text")
    return ", ".join(wrong) or None


def as_text(value: Any) -> str | None:
    """Return a claimed value as text; what is no text as its JSON."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
