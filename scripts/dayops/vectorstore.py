"""The vector store as an operator uses it: versions, snapshots, aliases, collections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from harness.checks.collection import PAGE, Collection
from harness.core.errors import TargetError
from scripts.dayops.script import Refused

CHUNK = 1 << 20
# A snapshot of millions of points takes minutes, and the server answers when it is done.
_TIMEOUT = httpx.Timeout(connect=5, read=1800, write=120, pool=5)


@dataclass(frozen=True)
class Server:
    """What answers: its product name, version and commit as it tells them.

    ``engine`` is the version of the engine where that is another product's, which is so with the
    stand-in: the data on disk are the engine's.
    """

    software: str
    version: str
    commit: str
    engine: str = ""

    @property
    def of_data(self) -> str:
        """The version that says which data it can read."""
        return self.engine or self.version


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that lies on the server; ``checksum`` is the server's own SHA-256, if any."""

    name: str
    size: int
    checksum: str
    created: str


class VectorStore:
    """Qdrant's REST API with full rights. Every method raises TargetError when it fails."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url, self._key = url, api_key
        self._client = httpx.Client(
            base_url=url,
            headers={"api-key": api_key} if api_key else {},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def server(self) -> Server:
        """Return what ``GET /`` tells; a stand-in is asked for its engine as well."""
        told = self._call("GET", "/", envelope=False)
        title, engine = str(told.get("title", "unknown")), ""
        if "stand-in" in title:
            engine = str(self._call("GET", "/telemetry")["app"].get("engine_version") or "")
        version = str(told.get("version", "unknown"))
        return Server(title, version, str(told.get("commit") or ""), engine)

    def answers(self, path: str = "/readyz") -> bool:
        """Whether the server answers there with 200 right now."""
        try:
            return self._client.get(path, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def is_there(self) -> bool:
        """Whether a server is at the address, well or not; a proxy before it is none."""
        try:
            self._client.get("/livez", timeout=5)
        except httpx.TransportError as error:
            return isinstance(error, httpx.TimeoutException)
        return True

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(each["name"] for each in self._call("GET", "/collections")["collections"])

    def aliases(self) -> dict[str, str]:
        """Return every alias with its collection."""
        found = self._call("GET", "/aliases")["aliases"]
        return {each["alias_name"]: each["collection_name"] for each in sorted(found, key=str)}

    def set_aliases(self, wanted: Mapping[str, str]) -> None:
        """Point aliases at collections, all in one step that readers see as one."""
        there = self.aliases()
        actions: list[dict[str, Any]] = []
        for alias, collection in wanted.items():
            if there.get(alias) == collection:
                continue
            if alias in there:
                actions.append({"delete_alias": {"alias_name": alias}})
            actions.append({"create_alias": {"alias_name": alias, "collection_name": collection}})
        if actions:
            self._call("POST", "/collections/aliases", json={"actions": actions})

    def snapshots(self, collection: str) -> list[Snapshot]:
        """Return the snapshots of a collection that lie on the server."""
        return [_snapshot(each) for each in self._call("GET", _path(collection, "/snapshots"))]

    def make_snapshot(self, collection: str) -> Snapshot:
        """Make one and wait for it."""
        path = _path(collection, "/snapshots")
        return _snapshot(self._call("POST", path, params={"wait": "true"}))

    def delete_snapshot(self, collection: str, name: str) -> None:
        """Remove one from the server; one that is gone already is no problem."""
        path = _path(collection, f"/snapshots/{quote(name, safe='')}")
        self._call("DELETE", path, params={"wait": "true"}, fine=(404,))

    def download(
        self, collection: str, snapshot: Snapshot, to: Path, tell: Callable[[int], None]
    ) -> str:
        """Bring a snapshot here; returns its SHA-256. ``tell`` gets the bytes so far."""
        digest = hashlib.sha256()
        path = _path(collection, f"/snapshots/{quote(snapshot.name, safe='')}")
        size = 0
        try:
            with self._client.stream("GET", path) as response, to.open("wb") as file:
                if response.status_code != 200:
                    response.read()
                    raise _failed("GET", path, response)
                for chunk in response.iter_bytes(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                    size += len(chunk)
                    tell(size)
        except httpx.HTTPError as error:
            raise _silent("GET", path, error) from error
        if size != snapshot.size:
            raise TargetError(
                f"The snapshot of {collection} came with another size than the server told.",
                expected=snapshot.size,
                actual=size,
                next_step="run it again",
            )
        return digest.hexdigest()

    def upload(self, collection: str, path: Path, sha256: str) -> None:
        """Put a snapshot back as ``collection``, which is made or replaced in one step.

        Raises:
            Refused: the server does not take it; what was there stays.
        """
        target = _path(collection, "/snapshots/upload")
        params = {"priority": "snapshot", "checksum": sha256, "wait": "true"}
        try:
            with path.open("rb") as file:
                response = self._client.post(
                    target, params=params, files={"snapshot": (path.name, file)}
                )
        except httpx.HTTPError as error:
            raise _silent("POST", target, error) from error
        if 400 <= response.status_code < 500 and response.status_code not in (401, 403, 408, 429):
            raise Refused(
                f"The vector store refuses the snapshot as {collection}.",
                expected="a whole snapshot that fits the collection",
                actual=f"{response.status_code}: {response.text[:300]}",
            )
        if response.status_code != 200:
            raise _failed("POST", target, response)

    def delete(self, collection: str) -> None:
        """Remove a collection; one that is gone already is no problem."""
        self._call("DELETE", _path(collection, ""), fine=(404,))

    def reader(self, collection: str, tell: Callable[[int], None] | None = None) -> Collection:
        """Return a reader of a collection; ``tell`` gets the number of points so far."""
        return _Watched(self.url, collection, api_key=self._key, timeout_s=120, tell=tell)

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        envelope: bool = True,
        fine: Sequence[int] = (),
    ) -> Any:
        try:
            response = self._client.request(method, path, params=params, json=json)
        except httpx.HTTPError as error:
            raise _silent(method, path, error) from error
        if response.status_code in fine:
            return None
        if response.status_code != 200:
            raise _failed(method, path, response)
        try:
            document = response.json()
            return document["result"] if envelope else document
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(
                f"The answer to {method} {path} is not that of a vector store.",
                expected="Qdrant's REST API",
                actual=response.text[:200],
                next_step="check QDRANT_URL",
            ) from error


class _Watched(Collection):
    """Tells how far a scroll has come."""

    def __init__(self, *given: Any, tell: Callable[[int], None] | None, **named: Any) -> None:
        super().__init__(*given, **named)
        self._tell = tell

    def scroll(
        self,
        *,
        vectors: bool = True,
        payload: bool | Sequence[str] = True,
        where: Mapping[str, Any] | None = None,
        page: int = PAGE,
    ) -> Iterator[list[dict[str, Any]]]:
        seen = 0
        for points in super().scroll(vectors=vectors, payload=payload, where=where, page=page):
            seen += len(points)
            if self._tell is not None:
                self._tell(seen)
            yield points


def _path(collection: str, rest: str) -> str:
    return f"/collections/{quote(collection, safe='')}{rest}"


def _snapshot(told: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        str(told["name"]),
        int(told.get("size") or 0),
        str(told.get("checksum") or ""),
        str(told.get("creation_time") or ""),
    )


def _silent(method: str, path: str, error: Exception) -> TargetError:
    return TargetError(
        f"The vector store did not answer {method} {path}.",
        expected="an answer from QDRANT_URL",
        actual=f"{type(error).__name__}: {error}",
        next_step="check that it runs, and run this again",
    )


def _failed(method: str, path: str, response: httpx.Response) -> TargetError:
    return TargetError(
        f"The vector store failed {method} {path}.",
        expected=200,
        actual=f"{response.status_code}: {response.text[:300]}",
        next_step="check QDRANT_API_KEY and the server's log, and run this again",
    )
