"""Snapshots of a collection: made, listed, removed, and put back in one atomic step."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import orjson

from refstack.common.logs import get_logger
from refstack.vectordb.archive import read_snapshot, write_snapshot
from refstack.vectordb.checks import JsonObject
from refstack.vectordb.errors import (
    ApiError,
    bad_request,
    not_found,
    service_error,
    validation_error,
    wrong_input,
)
from refstack.vectordb.files import remove_tree, sync_directory, sync_tree, write_json
from refstack.vectordb.registry import RECORD, Registry, check_collection_name, directory_name

PRIORITIES = ("no_sync", "snapshot", "replica")
_HEX64 = re.compile(r"[0-9a-fA-F]{64}")
_SUFFIX = ".snapshot"


def check_checksum(value: str | None) -> str | None:
    """A SHA-256 in hex, lower case. Raises `ApiError` 422 for anything else."""
    if value is None:
        return None
    if not _HEX64.fullmatch(value):
        raise validation_error(
            "checksum", f"value `{value}` is not 64 hexadecimal digits", "query parameters"
        )
    return value.lower()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Snapshots:
    """The snapshots directory, and restores into the registry."""

    def __init__(self, root: Path, registry: Registry) -> None:
        self._root = root
        self._registry = registry
        self._reserved: set[Path] = set()
        self._restoring = asyncio.Lock()
        self.created = 0
        self.creating: dict[str, int] = {}
        self.recovering: dict[str, int] = {}

    def _directory(self, collection: str) -> Path:
        return self._root / directory_name(collection)

    def path_of(self, collection: str, name: str) -> Path:
        """An existing snapshot. Raises `ApiError` 404."""
        path = self._directory(collection) / name
        plain = name == Path(name).name and name.endswith(_SUFFIX) and not name.startswith(".")
        if not plain or path in self._reserved or not path.is_file():
            raise not_found(f"Snapshot {name} not found")
        return path

    def describe(self, path: Path) -> JsonObject:
        """Name, time in UTC, size in bytes and SHA-256 of a snapshot."""
        status = path.stat()
        made = datetime.fromtimestamp(status.st_mtime, UTC)
        checksum = path.with_name(f"{path.name}.checksum")
        with contextlib.suppress(FileNotFoundError):
            return {
                "name": path.name,
                "creation_time": made.strftime("%Y-%m-%dT%H:%M:%S"),
                "size": status.st_size,
                "checksum": checksum.read_text().strip(),
            }
        return {
            "name": path.name,
            "creation_time": made.strftime("%Y-%m-%dT%H:%M:%S"),
            "size": status.st_size,
            "checksum": None,
        }

    def list(self, collection: str) -> list[JsonObject]:
        """Every finished snapshot of a collection."""
        directory = self._directory(collection)
        paths = sorted(directory.glob(f"*{_SUFFIX}")) if directory.is_dir() else []
        return [self.describe(path) for path in paths if path not in self._reserved]

    async def _reserve(self, collection: str) -> Path:
        """A name of this very second that no snapshot has: waits for the next one if need be."""
        directory = self._directory(collection)
        directory.mkdir(parents=True, exist_ok=True)
        while True:
            stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")
            path = directory / f"{directory.name}-{self._registry.peer_id}-{stamp}{_SUFFIX}"
            if path not in self._reserved and not path.exists():
                self._reserved.add(path)
                return path
            await asyncio.sleep(0.05)

    async def create(self, collection: str) -> JsonObject:
        """Make a snapshot; returns its description. Nothing is left behind on failure."""
        worker = self._registry.find(collection)
        target = await self._reserve(collection)
        scratch = self._registry.draft()
        scratch.mkdir()
        self.creating[collection] = self.creating.get(collection, 0) + 1
        try:
            facts = orjson.loads(await worker.ask("export", target=str(scratch / "data")))
            draft = target.with_name(f".{uuid.uuid4().hex}.draft")
            try:
                await asyncio.to_thread(self._finish, draft, target, scratch / "data", facts)
            finally:
                draft.unlink(missing_ok=True)
            self.created += 1
        finally:
            self._reserved.discard(target)
            self.creating[collection] -= 1
            await asyncio.to_thread(remove_tree, scratch)
        return self.describe(target)

    def _finish(self, draft: Path, target: Path, data: Path, facts: JsonObject) -> None:
        write_snapshot(draft, data, facts, self._registry.peer_id)
        checksum = target.with_name(f"{target.name}.checksum")
        checksum.write_text(sha256_of(draft))
        try:
            # A link never replaces a file, so an earlier snapshot cannot be lost here.
            os.link(draft, target)
        except BaseException:
            checksum.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)

    def delete(self, collection: str, name: str) -> None:
        """Remove a snapshot and its checksum. Raises `ApiError` 404."""
        path = self.path_of(collection, name)
        path.unlink()
        path.with_name(f"{path.name}.checksum").unlink(missing_ok=True)
        get_logger().info("snapshot_deleted", collection=collection, snapshot=name)

    async def fetch(self, location: str, api_key: str | None, target: Path) -> Path:
        """The file behind a `recover` location: a path in the snapshots directory, or a download.

        Raises `ApiError` 400 or 403.
        """
        parts = urlsplit(location)
        if parts.scheme in ("http", "https"):
            await asyncio.to_thread(_download, location, api_key, target)
            return target
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise bad_request(
                "Invalid snapshot URI, file path must be absolute or on localhost"
                if parts.scheme == "file"
                else f"Invalid snapshot URI `{location}`, expected file://, http:// or https://"
            )
        asked = Path(unquote(parts.path))
        path = asked.resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise ApiError(
                403,
                "Forbidden: Snapshot file path must be inside the snapshots directory "
                f"{self._root}",
            )
        if not path.is_file():
            raise bad_request(f'Snapshot file "{asked}" does not exist')
        return path

    async def restore(self, collection: str, source: Path) -> None:
        """Replace the content of a collection, or create it, from a snapshot.

        The archive is unpacked and opened by a process of its own first, so one that is damaged
        or does not fit leaves what was there untouched. Raises `ApiError`.
        """
        scratch = self._registry.draft()
        scratch.mkdir()
        self.recovering[collection] = self.recovering.get(collection, 0) + 1
        try:
            data, config = await asyncio.to_thread(read_snapshot, source, scratch)
            name = self._registry.aliases.get(collection, collection)
            if name in self._registry.collections:
                await self._check_fits(name, config)
            await _probe(data, config)
            await asyncio.to_thread(sync_tree, data)
            async with self._restoring:
                await self._put(name, data, config, scratch)
            get_logger().info("collection_restored", collection=name)
        finally:
            self.recovering[collection] -= 1
            await asyncio.to_thread(remove_tree, scratch)

    async def _check_fits(self, name: str, config: JsonObject) -> None:
        worker = self._registry.collections[name]
        if worker.broken is not None:
            current = orjson.loads((worker.directory / RECORD).read_bytes())["config"]
        else:
            current = orjson.loads(await worker.ask("info"))["config"]
        for key in ("vectors", "sparse_vectors"):
            here = _essence(current["params"].get(key) or {})
            there = _essence(config["params"].get(key) or {})
            if here != there:
                shown, offered = orjson.dumps(here).decode(), orjson.dumps(there).decode()
                raise wrong_input(
                    "Snapshot is not compatible with existing collection: Collection vectors: "
                    f"{shown} Snapshot Vectors: {offered}"
                )

    async def _put(self, name: str, data: Path, config: JsonObject, scratch: Path) -> None:
        generation = f"g-{uuid.uuid4().hex[:12]}"
        worker = self._registry.collections.get(name)
        if worker is not None and worker.broken is None:
            data.rename(worker.directory / generation)
            # Should it fail, the worker removes the data: only it knows whether it went over.
            await worker.ask("adopt", orjson.dumps(config), generation=generation)
            return
        check_collection_name(name)
        draft = scratch / "collection"
        draft.mkdir()
        data.rename(draft / generation)
        record = {"name": name, "state": "ready", "generation": generation, "config": config}
        write_json(draft / RECORD, record)
        await self._registry.replace(name, draft)


def _essence(vectors: JsonObject) -> JsonObject:
    """What of a vector's settings decides whether stored vectors fit."""
    named = {"": vectors} if "size" in vectors else vectors
    keys = ("size", "distance", "multivector_config", "datatype", "modifier")
    return {
        name: {key: value[key] for key in keys if value.get(key) is not None}
        for name, value in named.items()
    }


async def _probe(data: Path, config: JsonObject) -> None:
    """Open unpacked data in a process that may die of it. Raises `ApiError` 400."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "refstack.vectordb.worker.probe",
        str(data),
        str(os.getpid()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    answer, _ = await process.communicate(orjson.dumps(config))
    if process.returncode != 0:
        reason = answer.decode("utf-8", "replace").strip()
        reason = reason or f"the engine ended with status {process.returncode}"
        raise bad_request(f"Failed to load the snapshot: {reason}")


def _download(url: str, api_key: str | None, target: Path) -> None:
    request = urllib.request.Request(url, headers={"api-key": api_key} if api_key else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer, target.open("wb") as handle:
            shutil.copyfileobj(answer, handle, 1 << 20)
            declared = answer.headers.get("Content-Length")
        if declared is not None and int(declared) != target.stat().st_size:
            raise service_error(
                f"Failed to download snapshot from {url}: got {target.stat().st_size} of "
                f"{declared} bytes"
            )
    except urllib.error.HTTPError as error:
        raise wrong_input(
            f"Failed to download snapshot from {url}: status - {error.code}"
        ) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise service_error(f"Failed to download snapshot from {url}: {error}") from None
