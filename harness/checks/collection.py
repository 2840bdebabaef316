"""Reading a Qdrant-compatible collection over REST: scroll, points, answers and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import orjson

from harness.core.errors import HarnessError

PAGE = 512
"""Points a page: about 1.5 MB of JSON at 256 dimensions, so memory stays small."""

PointId = int | str


class Collection:
    """A collection by name or alias. A context manager; reads only.

    ``timeout_s`` bounds each request. Every method raises :class:`HarnessError` when the server
    cannot be reached, refuses, or answers what cannot be read.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = name
        headers = {"Accept-Encoding": "identity"}
        if api_key:
            headers["api-key"] = api_key
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=timeout_s, transport=transport
        )
        self._path = f"/collections/{quote(name, safe='')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def info(self) -> dict[str, Any]:
        """Return what ``GET /collections/{name}`` says."""
        result: dict[str, Any] = self._call("GET", "")
        return result

    def aliases(self) -> list[str]:
        """Return the aliases that point at this collection, sorted."""
        result = self._call("GET", "/aliases")
        return sorted(entry["alias_name"] for entry in result["aliases"])

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """Return the exact number of points, of those that a filter matches if one is given."""
        body: dict[str, Any] = {"exact": True}
        if where is not None:
            body["filter"] = dict(where)
        return int(self._call("POST", "/points/count", body)["count"])

    def scroll(
        self,
        *,
        vectors: bool = True,
        payload: bool | Sequence[str] = True,
        where: Mapping[str, Any] | None = None,
        page: int = PAGE,
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield all points page by page, while the next page is fetched in the background.

        Two pages are in memory at most. Points that are written meanwhile may or may not show.
        """
        request: dict[str, Any] = {"limit": page, "with_vector": vectors, "with_payload": payload}
        if where is not None:
            request["filter"] = dict(where)
        # One thread fetches and parses while the caller works on the page before.
        with ThreadPoolExecutor(1, thread_name_prefix="scroll") as fetcher:
            pending = fetcher.submit(self._call, "POST", "/points/scroll", dict(request))
            last: Any = None
            while True:
                result = pending.result()
                following = result.get("next_page_offset")
                if following is not None:
                    if following == last:
                        raise HarnessError(
                            f"scrolling {self.name} does not come to an end",
                            expected="another next_page_offset for each page",
                            actual=following,
                        )
                    last = following
                    pending = fetcher.submit(
                        self._call, "POST", "/points/scroll", {**request, "offset": following}
                    )
                yield result["points"]
                if following is None:
                    return

    def points(self, ids: Sequence[PointId]) -> list[dict[str, Any]]:
        """Return the points with these ids, with vectors and payload; absent ones are left out."""
        body = {"ids": list(ids), "with_vector": True, "with_payload": True}
        result: list[dict[str, Any]] = self._call("POST", "/points", body)
        return result

    def query(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the points that ``POST points/query`` finds for a request, best first."""
        result: list[dict[str, Any]] = self._call("POST", "/points/query", dict(request))["points"]
        return result

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        where = f"{method} {self._path}{path}"
        try:
            response = self._client.request(
                method,
                self._path + path,
                content=None if body is None else orjson.dumps(body),
                headers={"Content-Type": "application/json"} if body is not None else None,
            )
        except httpx.HTTPError as problem:
            raise HarnessError(
                f"the vector store did not answer {where}",
                expected="a response within the time limit",
                actual=f"{type(problem).__name__}: {problem}",
                next_step="check that it runs and that the URL is right",
            ) from problem
        if response.status_code in (401, 403):
            raise HarnessError(
                f"the vector store refused {where}",
                expected="an api_key with read access",
                actual=f"{response.status_code} {response.text[:200]}",
                next_step="set the api_key_env of role vectordb",
            )
        try:
            document = orjson.loads(response.content)
        except ValueError as problem:
            raise HarnessError(
                f"the vector store's answer to {where} is no JSON",
                expected="Qdrant's REST API",
                actual=f"{response.status_code} {response.text[:200]}",
            ) from problem
        if response.status_code != 200 or "result" not in document:
            raise HarnessError(
                f"the vector store failed {where}",
                expected="200",
                actual=f"{response.status_code} {str(document.get('status'))[:300]}",
            )
        return document["result"]
