"""What lies in the backup bucket: how old and how whole the backups are, and how full it is.

The layout is that of `scripts/README.md`: `yyyy-mm-dd/<store>-HHMMSSZ-<id>/manifest.json`, written
last, names every object of a backup; `verification.json` beside it says whether it was restored.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import minio
import urllib3

from refstack.opsexporter.families import Sample

_PART = re.compile(r"\d{4}-\d{2}-\d{2}/(vectordb|metadata)-[^/]+/(manifest|verification)\.json")
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Store:
    """An S3 server and the credentials to read it."""

    url: str
    access_key: str
    secret_key: str
    region: str


@dataclass(frozen=True)
class Listed:
    """One object of the listing; ``etag`` changes with its content."""

    key: str
    size: int
    etag: str


class Bucket:
    """One bucket; ``quota`` in bytes, or ``volume``: a directory on the disk that it lies on."""

    name = "objectstore"

    def __init__(self, store: Store, bucket: str, quota: int | None, volume: Path | None) -> None:
        address = urlsplit(store.url)
        self._client = minio.Minio(
            address.netloc,
            store.access_key,
            store.secret_key,
            secure=address.scheme == "https",
            region=store.region,
            http_client=urllib3.PoolManager(retries=False, timeout=TIMEOUT_S),
        )
        self._bucket, self._quota, self._volume = bucket, quota, volume
        self._seen: dict[tuple[str, str], dict[str, Any]] = {}

    def read(self) -> list[Sample]:
        """Raises minio's and urllib3's errors; a manifest that cannot be read is no backup."""
        objects = {
            each.object_name: Listed(each.object_name, each.size or 0, each.etag or "")
            for each in self._client.list_objects(self._bucket, recursive=True)
        }
        used = sum(each.size for each in objects.values())
        samples = [Sample("rag_backup_bucket_used_bytes", used, (self._bucket,))]
        capacity = self._capacity(used)
        if capacity is not None:
            samples.append(Sample("rag_backup_bucket_capacity_bytes", capacity, (self._bucket,)))
        return samples + self._backups(objects)

    def _capacity(self, used: int) -> int | None:
        if self._quota is not None:
            return self._quota
        if self._volume is None:
            return None
        disk = os.statvfs(self._volume)
        # Of a disk that others fill too, the bucket can have what it has and what is left.
        return used + disk.f_bavail * disk.f_frsize

    def _backups(self, objects: dict[str, Listed]) -> list[Sample]:
        taken: dict[str, float] = {}
        verified: dict[str, tuple[float, bool]] = {}
        parts = {key: found for key in objects if (found := _PART.fullmatch(key))}
        for key, (store, part) in ((key, found.groups()) for key, found in parts.items()):
            document = self._document(objects[key])
            if part == "manifest":
                ended = complete(document, store, objects)
                if ended is not None:
                    taken[store] = max(ended, taken.get(store, 0.0))
            else:
                said = verdict(document)
                if said is not None:
                    verified[store] = max(said, verified.get(store, (0.0, True)))
        self._seen = {
            (each.key, each.etag): self._seen[each.key, each.etag]
            for each in (objects[key] for key in parts)
        }
        samples = [
            Sample("rag_backup_last_success_timestamp_seconds", at, (store,))
            for store, at in taken.items()
        ]
        for store, (at, ok) in verified.items():
            samples.append(Sample("rag_backup_verification_timestamp_seconds", at, (store,)))
            samples.append(Sample("rag_backup_verification_success", float(ok), (store,)))
        return samples

    def _document(self, listed: Listed) -> dict[str, Any]:
        """A JSON object of the bucket, read once; what is none is an empty one."""
        key = (listed.key, listed.etag)
        if key not in self._seen:
            answer = self._client.get_object(self._bucket, listed.key)
            try:
                found = json.loads(answer.read())
            except ValueError:
                found = {}
            finally:
                answer.close()
                answer.release_conn()
            self._seen[key] = found if isinstance(found, dict) else {}
        return self._seen[key]

    def close(self) -> None:
        """Connections close with the process."""


def complete(document: dict[str, Any], store: str, objects: dict[str, Listed]) -> float | None:
    """Return when a backup ended (UTC seconds) if all that its manifest names lies in the bucket,
    in the size that it says."""
    try:
        if document["store"] != store or not document["objects"]:
            return None
        for each in document["objects"]:
            found = objects.get(each["key"])
            if found is None or found.size != each["size"]:
                return None
        return _moment(document["ended_at"])
    except (KeyError, TypeError, ValueError):
        return None


def verdict(document: dict[str, Any]) -> tuple[float, bool] | None:
    """Return when a verification ended and whether it was content; None for what is none."""
    try:
        return _moment(document["at"]), document["ok"] is True
    except (KeyError, TypeError, ValueError):
        return None


def _moment(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} does not say which time zone it is in")
    return moment.timestamp()
