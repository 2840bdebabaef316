"""Which collections and aliases there are: created, deleted, renamed durably and in one step."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import orjson

from refstack.common.logs import get_logger
from refstack.common.settings import SettingError
from refstack.vectordb.checks import JsonObject, as_list, as_object, as_text, required
from refstack.vectordb.client import WorkerClient
from refstack.vectordb.errors import (
    ApiError,
    format_error,
    missing_collection,
    not_found,
    validation_error,
    wrong_input,
)
from refstack.vectordb.files import remove_tree, sync_directory, write_json

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_LOCK_WAIT_S = 2.0
RECORD = "collection.json"


def check_collection_name(name: str) -> None:
    """Refuse a name that the real server refuses. Raises `ApiError` 422."""
    if not 1 <= len(name) <= 255:
        raise validation_error(
            "collection_name", f"value must have 1 to 255 characters, got {len(name)}", "path"
        )
    odd = next((char for char in name if char in '<>:"/\\|?*\0\x1f'), None)
    if odd is not None:
        raise validation_error(
            "collection_name", f"collection name cannot contain {odd!r} char", "path"
        )


def directory_name(name: str) -> str:
    """A file name for a collection: its own name where that is plain, a distinct one elsewhere."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"%{quote(name, safe='')[:100]}%{digest}"


class Registry:
    """Collections by name, aliases by name, and the directory that holds them."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.collections: dict[str, WorkerClient] = {}
        self.aliases: dict[str, str] = {}
        self.peer_id = 0
        self.root = storage / "collections"
        self.drafts = storage / "tmp"
        self._lock: int | None = None
        self._changing = asyncio.Lock()

    def lock(self) -> None:
        """Take the storage directory for this process. Raises `SettingError` when it is taken."""
        handle = os.open(self.storage / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        give_up = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > give_up:
                    os.close(handle)
                    raise SettingError(
                        "QDRANT__STORAGE__STORAGE_PATH",
                        str(self.storage),
                        "a directory that no other server uses",
                    ) from None
                time.sleep(0.05)
        self._lock = handle

    async def open(self) -> None:
        """Remove leftovers, then start a worker for each collection."""
        remove_tree(self.drafts)
        for path in (self.root, self.drafts):
            path.mkdir(exist_ok=True)
        peer = self.storage / "peer.json"
        if not peer.exists():
            write_json(peer, {"peer_id": secrets.randbelow(2**52)})
        self.peer_id = orjson.loads(peer.read_bytes())["peer_id"]
        for directory in sorted(self.root.iterdir()):
            record = directory / RECORD
            if not record.exists():
                remove_tree(directory)
                continue
            name = orjson.loads(record.read_bytes())["name"]
            await self._start(name, directory)
        with contextlib.suppress(FileNotFoundError):
            stored = orjson.loads((self.storage / "aliases.json").read_bytes())
            self.aliases = {a: c for a, c in stored.items() if c in self.collections}

    async def close(self) -> None:
        """Stop every worker; each flushes."""
        await asyncio.gather(*(worker.stop() for worker in self.collections.values()))
        if self._lock is not None:
            os.close(self._lock)

    async def _start(self, name: str, directory: Path) -> WorkerClient:
        worker = WorkerClient(name, directory)
        await worker.start()
        self.collections[name] = worker
        return worker

    def draft(self) -> Path:
        """A fresh path under the storage directory for something unfinished."""
        return self.drafts / uuid.uuid4().hex

    def resolve(self, name: str) -> str:
        """The collection behind a name or an alias. Raises `ApiError` 404."""
        target = self.aliases.get(name, name)
        if target not in self.collections:
            raise missing_collection(name)
        return target

    def find(self, name: str) -> WorkerClient:
        """The worker of a collection or an alias. Raises `ApiError` 404."""
        return self.collections[self.resolve(name)]

    def path_of(self, name: str) -> Path:
        """Where a collection of that name lives, or would."""
        return self.root / directory_name(name)

    async def create(self, name: str, config: JsonObject) -> None:
        """Create an empty collection. Raises `ApiError` 409 or 400."""
        async with self._changing:
            if name in self.collections:
                raise ApiError(409, f"Wrong input: Collection `{name}` already exists!")
            if name in self.aliases:
                raise wrong_input(
                    f"Can't create collection with name {name}. Alias with the same name already "
                    "exists"
                )
            draft = self.draft()
            draft.mkdir()
            generation = f"g-{uuid.uuid4().hex[:12]}"
            state = {"name": name, "state": "creating", "generation": generation, "config": config}
            write_json(draft / RECORD, state)
            await self.install(name, draft)
            try:
                await self.collections[name].ask("info")
            except ApiError:
                await self._remove(name)
                raise

    async def install(self, name: str, draft: Path) -> None:
        """Make a finished directory the collection `name`, which must not exist yet."""
        target = self.path_of(name)
        remove_tree(target)
        draft.rename(target)
        sync_directory(self.root)
        await self._start(name, target)

    async def replace(self, name: str, draft: Path) -> None:
        """Like `install`, in place of a collection that cannot be opened, if there is one."""
        async with self._changing:
            if name in self.collections:
                worker = self.collections.pop(name)
                await worker.stop(kill=True)
                worker.directory.rename(self.draft())
            await self.install(name, draft)
            await self.collections[name].ask("info")

    async def delete(self, name: str) -> bool:
        """Remove a collection and its aliases; False when there is none."""
        async with self._changing:
            if name not in self.collections:
                return False
            await self._remove(name)
            return True

    async def _remove(self, name: str) -> None:
        worker = self.collections.pop(name)
        trash = self.draft()
        worker.directory.rename(trash)
        sync_directory(self.root)
        kept = {a: c for a, c in self.aliases.items() if c != name}
        if kept != self.aliases:
            self._publish(kept)
        await worker.stop(kill=True)
        await asyncio.to_thread(remove_tree, trash)

    def _publish(self, aliases: dict[str, str]) -> None:
        write_json(self.storage / "aliases.json", aliases)
        self.aliases = aliases

    def change_aliases(self, body: JsonObject) -> None:
        """Apply `actions` in order.

        Readers see none or all of them, but, as in the real server, when one fails those before
        it stay applied. Raises `ApiError`.
        """
        as_object(body, "the body", ("actions",))
        actions = [_read_action(item) for item in as_list(required(body, "actions"), "actions")]
        aliases = dict(self.aliases)
        try:
            for kind, fields in actions:
                self._apply(kind, fields, aliases)
        finally:
            if aliases != self.aliases:
                self._publish(aliases)
                get_logger().info("aliases_changed", count=len(aliases))

    def _apply(self, kind: str, fields: dict[str, str], aliases: dict[str, str]) -> None:
        if kind == "create_alias":
            name, alias = fields["collection_name"], fields["alias_name"]
            if name not in self.collections:
                raise missing_collection(name)
            if alias in self.collections:
                raise ApiError(409, f"Wrong input: Collection `{alias}` already exists!")
            aliases[alias] = name
        elif kind == "delete_alias":
            aliases.pop(fields["alias_name"], None)
        else:
            old, new = fields["old_alias_name"], fields["new_alias_name"]
            if old not in aliases:
                raise not_found(f"Alias {old} does not exists!")
            if new in self.collections:
                raise ApiError(409, f"Wrong input: Collection `{new}` already exists!")
            aliases[new] = aliases.pop(old)

    def list_aliases(self, collection: str | None = None) -> list[JsonObject]:
        """All aliases, or those of one collection."""
        return [
            {"alias_name": alias, "collection_name": name}
            for alias, name in sorted(self.aliases.items())
            if collection in (None, name)
        ]


_ACTIONS = {
    "create_alias": ("collection_name", "alias_name"),
    "delete_alias": ("alias_name",),
    "rename_alias": ("old_alias_name", "new_alias_name"),
}


def _read_action(item: object) -> tuple[str, dict[str, str]]:
    fields = as_object(item, "an action", tuple(_ACTIONS))
    if len(fields) != 1:
        names = ", ".join(f"`{name}`" for name in _ACTIONS)
        raise format_error(f"an action must hold exactly one of {names}")
    ((kind, inner),) = fields.items()
    read = as_object(inner, kind, _ACTIONS[kind])
    values = {name: as_text(required(read, name), name) for name in _ACTIONS[kind]}
    for name, value in values.items():
        if name != "collection_name":
            check_collection_name(value)
    return kind, values
