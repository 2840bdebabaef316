"""Common ground of the faults in the object store, by its S3 API."""

from __future__ import annotations

import hashlib
import io
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import minio
import urllib3

from chaos.faults.base import Fault, Proof
from chaos.faults.notes import Notes
from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.drivers.base import Stack

ROLE = "objectstore"
LARGEST = 256 << 20
"""Bytes; a larger object is refused, since it is kept aside whole."""


def client(stack: Stack) -> minio.Minio:
    """The store with the operator's rights, past every fault proxy, with no retries."""
    endpoint, known = stack.endpoint(ROLE), stack.credentials(ROLE)
    return minio.Minio(
        f"{endpoint.host}:{endpoint.port}",
        access_key=known["access_key"],
        secret_key=known["secret_key"],
        secure=endpoint.url.startswith("https"),
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=False, timeout=30.0),
    )


def check_store(stack: Stack) -> None:
    """Refuse a target without an object store that we may write to; raises NotAllowed."""
    known = stack.credentials(ROLE) if ROLE in stack.roles() else {}
    if not {"access_key", "secret_key", "bucket"} <= known.keys():
        raise NotAllowed(
            f"The target {stack.name!r} has no object store whose bucket we may write to.",
            expected="the role objectstore with access_key, secret_key and bucket",
            actual=", ".join(sorted(known)) or "nothing of it",
        )


@dataclass(frozen=True)
class ObjectFault(Fault):
    """Hits the first object, in order of key, whose key begins with ``prefix``."""

    prefix: str

    needs: ClassVar[tuple[str, ...]] = ("fault", "destroy")

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not self.prefix:
            raise UsageError(
                f"The fault {self.slug!r} hits an object.",
                expected="prefix with which its key begins",
                actual=repr(self.prefix),
            )

    @property
    def on(self) -> str:
        """The object store."""
        return ROLE

    def check_target(self, stack: Stack) -> None:
        """There is a bucket that we may write to."""
        super().check_target(stack)
        check_store(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Which object it is, and the digest of its content."""
        store, bucket = client(stack), stack.credentials(ROLE)["bucket"]
        for found in store.list_objects(bucket, prefix=self.prefix, recursive=True):
            key = found.object_name
            if key is not None and (found.size or 0) > LARGEST:
                raise TargetError(f"The object {key} is too large to be kept aside.")
            if key is not None and found.size:
                told = {"key": key, "digest": digest(stack, key)}
                return {**told, "metadata": metadata(stack, key)}
        raise TargetError("There is no such object.", expected=f"a key with {self.prefix!r}")

    def inject(self, stack: Stack) -> None:
        """Keep the object aside, then harm it."""
        found = self.before(stack)
        key = found["key"]
        data = read(stack, key)
        assert data is not None
        notes = self._notes(stack)
        notes.keep(data)
        notes.write(key=key, metadata=found["metadata"])
        self.harm(stack, key, data)

    @abstractmethod
    def harm(self, stack: Stack, key: str, data: bytes) -> None:
        """Do it."""

    def heal(self, stack: Stack) -> None:
        """Put the object back as it was."""
        notes = self._notes(stack)
        kept = notes.read()
        if kept is None:
            return
        write(stack, kept["key"], notes.kept.read_bytes(), kept["metadata"])
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """The object is there with its old content, and what its writer said of it."""
        now = digest(stack, before["key"])
        same = now == before["digest"] and metadata(stack, before["key"]) == before["metadata"]
        return Proof(same, {"before": before["digest"], "now": now})

    def _notes(self, stack: Stack) -> Notes:
        return Notes(stack, self.slug, self.on)


def read(stack: Stack, key: str) -> bytes | None:
    """The content of an object; ``None`` when the store says that there is none."""
    try:
        response = client(stack).get_object(stack.credentials(ROLE)["bucket"], key)
        try:
            data: bytes = response.read()
            return data
        finally:
            response.close()
            response.release_conn()
    except minio.error.S3Error as error:
        if error.code == "NoSuchKey":
            return None
        raise TargetError(f"The object {key} can't be read.", actual=error.code) from error


def metadata(stack: Stack, key: str) -> dict[str, str] | None:
    """What its writer said of an object, such as its SHA-256; ``None`` when there is none."""
    try:
        found = client(stack).stat_object(stack.credentials(ROLE)["bucket"], key)
    except minio.error.S3Error as error:
        if error.code in ("NoSuchKey", "NoSuchObject"):
            return None
        raise TargetError(f"The object {key} can't be looked at.", actual=error.code) from error
    own = {name.lower(): value for name, value in (found.metadata or {}).items()}
    prefix = "x-amz-meta-"
    return {
        name.removeprefix(prefix): str(value)
        for name, value in sorted(own.items())
        if name.startswith(prefix)
    }


def write(
    stack: Stack, key: str, data: bytes, own_metadata: Mapping[str, str] | None = None
) -> None:
    """Put an object; raises TargetError."""
    try:
        client(stack).put_object(
            stack.credentials(ROLE)["bucket"],
            key,
            io.BytesIO(data),
            length=len(data),
            metadata=dict(own_metadata or {}),
        )
    except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
        raise TargetError(f"The object {key} can't be written.", actual=str(error)) from error


def digest(stack: Stack, key: str) -> str | None:
    """SHA-256 of an object's content; ``None`` when there is none."""
    data = read(stack, key)
    return None if data is None else hashlib.sha256(data).hexdigest()
