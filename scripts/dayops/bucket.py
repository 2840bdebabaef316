"""The bucket of the backups: objects go in and come out with their SHA-256, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import minio
import minio.error
import urllib3
from minio.deleteobjects import DeleteObject

from harness.core.errors import TargetError
from scripts.dayops.environment import Environment
from scripts.dayops.script import Refused

SHA256_METADATA = "x-amz-meta-sha256"
CHUNK = 1 << 20
_ABSENT = ("NoSuchKey", "NoSuchObject", "NotFound")


@dataclass(frozen=True)
class Stored:
    """An object: its key, size in bytes and SHA-256 in hexadecimal."""

    key: str
    size: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it."""

    key: str
    size: int
    modified: datetime


class Bucket:
    """One bucket. Every method raises TargetError when the object store fails or refuses."""

    def __init__(self, environment: Environment, timeout_s: float = 60.0) -> None:
        parts = urlsplit(environment["S3_ENDPOINT_URL"])
        self.name = environment["BACKUP_BUCKET"]
        self.url = environment["S3_ENDPOINT_URL"]
        self._client = minio.Minio(
            parts.netloc,
            access_key=environment["AWS_ACCESS_KEY_ID"],
            secret_key=environment["AWS_SECRET_ACCESS_KEY"],
            secure=parts.scheme == "https",
            region=environment["AWS_REGION"],
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=5, read=timeout_s),
                # A store that has just come back says InternalError until its disks are there.
                retries=urllib3.Retry(
                    total=5,
                    connect=2,
                    read=2,
                    backoff_factor=0.3,
                    status_forcelist=[500, 502, 503, 504],
                ),
            ),
        )

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except minio.error.S3Error as error:
            raise TargetError(
                f"The object store refused {what}.",
                expected=f"rights on the bucket {self.name} at {self.url}, and room in it",
                actual=f"{error.code}: {error.message}",
                next_step="check BACKUP_BUCKET, the keys and the store's disk, and run it again",
            ) from error
        except (
            minio.error.MinioException,
            urllib3.exceptions.HTTPError,
            ValueError,
        ) as error:
            raise TargetError(
                f"The object store failed {what}.",
                expected=f"an answer from {self.url}",
                actual=f"{type(error).__name__}: {error}"[:400],
                next_step="check that it runs, and run this again",
            ) from error

    def put(self, key: str, path: Path, sha256: str) -> Stored:
        """Store a file of known SHA-256 and look at what arrived."""
        size = path.stat().st_size
        with self._doing(f"to store {key}"):
            self._client.fput_object(self.name, key, str(path), metadata={SHA256_METADATA: sha256})
            arrived = self._client.stat_object(self.name, key).size
        if arrived != size:
            raise TargetError(
                f"The object store kept another size of {key}.", expected=size, actual=arrived
            )
        return Stored(key, size, sha256)

    def put_json(self, key: str, document: Any, scratch: Path) -> Stored:
        """Store a document, readable by people; it appears whole or not at all."""
        data = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
        path = scratch / "document.json"
        path.write_bytes(data)
        return self.put(key, path, hashlib.sha256(data).hexdigest())

    def read(self, key: str) -> bytes | None:
        """Return a small object's bytes; None if there is none."""
        try:
            with self._doing(f"to give {key}"):
                response = self._client.get_object(self.name, key)
                try:
                    return bytes(response.read())
                finally:
                    response.close()
                    response.release_conn()
        except TargetError as error:
            if _absent(error):
                return None
            raise

    def fetch(self, stored: Stored, path: Path) -> None:
        """Bring an object to ``path``, which appears only if every byte is what was stored.

        Raises:
            Refused: it is not there, or it has another size or SHA-256.
        """
        partial = path.with_name(f"{path.name}.part")
        digest = hashlib.sha256()
        size = 0
        try:
            with self._doing(f"to give {stored.key}"):
                response = self._client.get_object(self.name, stored.key)
                try:
                    with partial.open("wb") as file:
                        for chunk in response.stream(CHUNK):
                            digest.update(chunk)
                            size += len(chunk)
                            file.write(chunk)
                finally:
                    response.close()
                    response.release_conn()
        except TargetError as error:
            partial.unlink(missing_ok=True)
            if _absent(error):
                raise missing(stored) from error
            raise
        check(stored, size, digest.hexdigest())
        partial.replace(path)

    def stat(self, key: str) -> tuple[int, str] | None:
        """Return size and recorded SHA-256 (or an empty string); None if there is no object."""
        try:
            with self._doing(f"to describe {key}"):
                found = self._client.stat_object(self.name, key)
        except TargetError as error:
            if _absent(error):
                return None
            raise
        recorded = (found.metadata or {}).get(SHA256_METADATA, "")
        return int(found.size or 0), str(recorded)

    def objects(self, prefix: str) -> list[Listed]:
        """Return every object below a prefix, in the order of their keys."""
        with self._doing(f"to list {prefix}*"):
            return [
                Listed(str(each.object_name), int(each.size or 0), each.last_modified)
                for each in self._client.list_objects(self.name, prefix, recursive=True)
                if not each.is_dir
            ]

    def directories(self, prefix: str = "") -> list[str]:
        """Return the names of what looks like directories directly below a prefix."""
        with self._doing(f"to list {prefix or 'the bucket'}"):
            found = list(self._client.list_objects(self.name, prefix))
        names = (str(each.object_name)[len(prefix) :] for each in found if each.is_dir)
        return sorted(name.strip("/") for name in names)

    def remove(self, keys: list[str]) -> None:
        """Remove objects; one that is gone already is no problem."""
        with self._doing(f"to remove {len(keys)} objects"):
            failed = list(
                self._client.remove_objects(self.name, [DeleteObject(key) for key in keys])
            )
        if failed:
            raise TargetError(
                "The object store kept objects that were to be removed.",
                actual=f"{failed[0].name}: {failed[0].message}",
            )


def _absent(error: TargetError) -> bool:
    cause = error.__cause__
    return isinstance(cause, minio.error.S3Error) and cause.code in _ABSENT


def missing(stored: Stored) -> Refused:
    """The refusal of a backup that lacks an object."""
    return Refused(
        f"The backup is not whole: {stored.key} is missing.",
        expected=f"{stored.size} bytes",
        actual="no such object",
        next_step="take another backup: scripts/verify_backup.sh says which are good",
    )


def check(stored: Stored, size: int, sha256: str) -> None:
    """Raise Refused unless size and SHA-256 are those that were recorded."""
    if size != stored.size:
        raise Refused(
            f"The backup is not whole: {stored.key} has another size.",
            expected=f"{stored.size} bytes",
            actual=f"{size} bytes",
            next_step="take another backup: scripts/verify_backup.sh says which are good",
        )
    if sha256 != stored.sha256:
        raise Refused(
            f"The backup is damaged: {stored.key} has another SHA-256.",
            expected=stored.sha256,
            actual=sha256,
            next_step="take another backup: scripts/verify_backup.sh says which are good",
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
