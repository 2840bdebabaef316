"""What the front answers itself: collections, aliases, snapshots, health and measurements."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from refstack.common.logs import get_logger
from refstack.vectordb import API_VERSION, TITLE
from refstack.vectordb.checks import (
    JsonObject,
    as_object,
    as_text,
    load_body,
    query_choice,
    query_flag,
    required,
)
from refstack.vectordb.config import new_config
from refstack.vectordb.errors import ApiError, bad_request, format_error, not_offered
from refstack.vectordb.measures import File, Measures, Text
from refstack.vectordb.multipart import receive_file
from refstack.vectordb.registry import Registry, check_collection_name
from refstack.vectordb.settings import Settings
from refstack.vectordb.snapshots import PRIORITIES, Snapshots, check_checksum, sha256_of

if TYPE_CHECKING:
    from refstack.vectordb.app import Request


class Accepted:
    """The answer to work that goes on after it: 202."""


ACCEPTED = Accepted()


class Endpoints(Measures):
    """One method per handler named in `routes`."""

    def __init__(self, settings: Settings, registry: Registry, snapshots: Snapshots) -> None:
        super().__init__(settings, registry, snapshots)
        self._background: set[asyncio.Task[Any]] = set()

    async def worker(self, request: Request) -> tuple[int, bytes]:
        """Hand a request over to its collection's worker."""
        route = request.route
        worker = self._registry.find(request.path["collection_name"])
        parameters: JsonObject = {"op": route.op, **request.path}
        body = b""
        if route.kind:
            parameters["kind"] = route.kind
        request.check_consistency()
        if route.level != "r":
            parameters["wait"] = query_flag(request.query("wait"), "wait", False)
        if route.method not in ("GET", "DELETE"):
            body = await request.json(self._settings.max_request_bytes)
        return await worker.call(parameters, body, request.timeout_s())

    async def root(self, _request: Request) -> Text:
        body = orjson.dumps({"title": TITLE, "version": API_VERSION})
        return Text(body, content_type="application/json")

    async def healthz(self, _request: Request) -> Text:
        return Text(b"healthz check passed")

    async def readyz(self, _request: Request) -> Text:
        if all(worker.ready for worker in self._registry.collections.values()):
            return Text(b"all shards are ready")
        return Text(b"some shards are not ready", 503)

    async def issues(self, _request: Request) -> JsonObject:
        return {"issues": []}

    async def cluster(self, _request: Request) -> JsonObject:
        return {"status": "disabled"}

    async def list_collections(self, request: Request) -> JsonObject:
        names = sorted(n for n in self._registry.collections if request.access.may_see(n))
        return {"collections": [{"name": name} for name in names]}

    async def exists(self, request: Request) -> JsonObject:
        name = request.path["collection_name"]
        return {"exists": name in self._registry.collections or name in self._registry.aliases}

    async def create_collection(self, request: Request) -> bool:
        name = request.path["collection_name"]
        check_collection_name(name)
        body = await request.json(self._settings.max_request_bytes)
        await self._registry.create(name, new_config(load_body(body)))
        get_logger().info("collection_created", collection=name)
        return True

    async def delete_collection(self, request: Request) -> bool:
        name = request.path["collection_name"]
        deleted = await self._registry.delete(name)
        if deleted:
            get_logger().info("collection_deleted", collection=name)
        return deleted

    async def list_aliases(self, request: Request) -> JsonObject:
        found = self._registry.list_aliases()
        return {"aliases": [a for a in found if request.access.may_see(a["collection_name"])]}

    async def collection_aliases(self, request: Request) -> JsonObject:
        name = self._registry.resolve(request.path["collection_name"])
        return {"aliases": self._registry.list_aliases(name)}

    async def change_aliases(self, request: Request) -> bool:
        body = await request.json(self._settings.max_request_bytes)
        self._registry.change_aliases(load_body(body))
        return True

    async def collection_cluster(self, request: Request) -> JsonObject:
        worker = self._registry.find(request.path["collection_name"])
        info = orjson.loads(await worker.ask("info"))
        shard = {"shard_id": 0, "points_count": info["points_count"], "state": "Active"}
        return {
            "peer_id": self._registry.peer_id,
            "shard_count": 1,
            "local_shards": [shard],
            "remote_shards": [],
            "shard_transfers": [],
        }

    async def optimizations(self, request: Request) -> JsonObject:
        self._registry.resolve(request.path["collection_name"])
        raise not_offered("the list of optimizations")

    async def no_cluster(self, _request: Request) -> None:
        raise ApiError(405, "Distributed mode is disabled: this is a single node")

    async def no_full_snapshots(self, _request: Request) -> None:
        raise not_offered("a snapshot of the whole storage (take one per collection)")

    async def no_shards(self, _request: Request) -> None:
        raise not_offered("access to single shards (a collection has one)")

    async def no_old_endpoint(self, _request: Request) -> None:
        raise not_offered("this endpoint (use points/query)")

    async def list_snapshots(self, request: Request) -> list[JsonObject]:
        name = self._registry.resolve(request.path["collection_name"])
        return self._snapshots.list(name)

    async def _finish(self, work: Any, request: Request) -> Any:
        """The result of `work`, or `ACCEPTED` at once with `wait=false`."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        if query_flag(request.query("wait"), "wait", True):
            # A client that goes away does not stop it half way.
            return await asyncio.shield(task)
        return ACCEPTED

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            get_logger().warning("snapshot_work_failed", error=type(task.exception()).__name__)

    async def create_snapshot(self, request: Request) -> Any:
        name = self._registry.resolve(request.path["collection_name"])
        return await self._finish(self._snapshots.create(name), request)

    async def get_snapshot(self, request: Request) -> File:
        name = self._registry.resolve(request.path["collection_name"])
        return File(self._snapshots.path_of(name, request.path["snapshot_name"]))

    async def delete_snapshot(self, request: Request) -> Any:
        name = self._registry.resolve(request.path["collection_name"])
        wait = query_flag(request.query("wait"), "wait", True)
        self._snapshots.delete(name, request.path["snapshot_name"])
        return True if wait else ACCEPTED

    async def upload_snapshot(self, request: Request) -> Any:
        name = request.path["collection_name"]
        query_choice(request.query("priority"), "priority", PRIORITIES)
        checksum = check_checksum(request.query("checksum"))
        draft = self._registry.draft()
        try:
            content_type = request.headers.get(b"content-type", b"").decode("latin-1")
            actual = await receive_file(request.stream(), content_type, draft)
            if checksum is not None and actual != checksum:
                raise ApiError(400, f"Checksum mismatch: expected {checksum}, actual {actual}")
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return await self._finish(self._restore(name, draft, draft), request)

    async def _restore(self, name: str, source: Path, draft: Path) -> bool:
        try:
            await self._snapshots.restore(name, source)
        finally:
            draft.unlink(missing_ok=True)
        return True

    async def recover_snapshot(self, request: Request) -> Any:
        name = request.path["collection_name"]
        known = ("location", "priority", "checksum", "api_key")
        fields = as_object(
            load_body(await request.json(self._settings.max_request_bytes)), "the body", known
        )
        location = as_text(required(fields, "location"), "location")
        if fields.get("priority") not in (None, *PRIORITIES):
            names = ", ".join(f"`{name}`" for name in PRIORITIES)
            raise format_error(f"unknown variant `{fields['priority']}`, expected one of {names}")
        checksum = check_checksum(fields.get("checksum"))
        draft = self._registry.draft()
        work = self._recover(name, location, fields.get("api_key"), checksum, draft)
        return await self._finish(work, request)

    async def _recover(
        self, name: str, location: str, api_key: str | None, checksum: str | None, draft: Path
    ) -> bool:
        try:
            source = await self._snapshots.fetch(location, api_key, draft)
            actual = None if checksum is None else await asyncio.to_thread(sha256_of, source)
            if actual != checksum:
                raise bad_request(f"Snapshot checksum mismatch: expected {checksum}, got {actual}")
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return await self._restore(name, source, draft)
