"""Read-only bucket: the object store refuses every write and still gives what it has."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import minio

from chaos.faults.base import Fault, Proof
from chaos.faults.notes import Notes
from chaos.faults.objects import ROLE, check_store, client, write
from harness.core.errors import TargetError
from harness.drivers.base import Stack

_SEEN_S = 10.0
_DENIED = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


@dataclass(frozen=True)
class ReadOnlyBucket(Fault):
    """Denies everybody the writing actions by the bucket's policy; healing puts the old one back.

    A store whose administrator is above policies takes the writes all the same: then the proof
    says that the fault never landed.
    """

    slug: ClassVar[str] = "read-only-bucket"
    sentence: ClassVar[str] = "The object store refuses every write to the bucket."

    @property
    def on(self) -> str:
        """The object store."""
        return ROLE

    def check_target(self, stack: Stack) -> None:
        """There is a bucket that we may write to."""
        super().check_target(stack)
        check_store(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """Whether an object can be written while all is well."""
        return {"problem": self._writing(stack)}

    def inject(self, stack: Stack) -> None:
        """Set the policy, remembering the one that was there."""
        store, bucket = client(stack), stack.credentials(ROLE)["bucket"]
        notes = self._notes(stack)
        if notes.read() is None:
            notes.write(policy=_policy(store, bucket))
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": list(_DENIED),
            "Resource": [f"arn:aws:s3:::{bucket}/*"],
        }
        store.set_bucket_policy(
            bucket, json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Writing an object is refused where it worked before."""
        now = self._wait(stack, refused=True)
        return Proof(now is not None and before["problem"] is None, {"writing": now})

    def heal(self, stack: Stack) -> None:
        """Put the old policy back, or none where there was none."""
        notes = self._notes(stack)
        kept = notes.read()
        if kept is None:
            return
        store, bucket = client(stack), stack.credentials(ROLE)["bucket"]
        if kept["policy"] is None:
            # Cut off before the policy was set, there is none to remove; some stores say so.
            if _policy(store, bucket) is not None:
                store.delete_bucket_policy(bucket)
        else:
            store.set_bucket_policy(bucket, kept["policy"])
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """An object can be written and removed again."""
        now = self._wait(stack, refused=False)
        return Proof(now is None, {"writing": now or "works"})

    def _wait(self, stack: Stack, *, refused: bool) -> str | None:
        deadline = time.monotonic() + _SEEN_S
        while ((now := self._writing(stack)) is not None) is not refused:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return now

    def _writing(self, stack: Stack) -> str | None:
        """Write an object of ours and remove it; returns the refusal, or ``None``."""
        key = f"ragdrill-probe/{secrets.token_hex(4)}"
        try:
            write(stack, key, b"probe")
            client(stack).remove_object(stack.credentials(ROLE)["bucket"], key)
        except minio.error.S3Error as error:
            return error.code
        except TargetError as error:
            return str(error.actual)[:80]
        return None

    def _notes(self, stack: Stack) -> Notes:
        return Notes(stack, self.slug, self.on)


def _policy(store: minio.Minio, bucket: str) -> str | None:
    try:
        found: str = store.get_bucket_policy(bucket)
    except minio.error.S3Error as error:
        if error.code == "NoSuchBucketPolicy":
            return None
        raise TargetError("The bucket's policy can't be read.", actual=error.code) from error
    return found
