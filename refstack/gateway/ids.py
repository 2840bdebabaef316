"""The ids of chunks and of the points that stand for them in the vector store."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ragdrill:chunk")


def chunk_id(document_id: str, version: uuid.UUID, position: int) -> str:
    """The id of a chunk, unique in its tenant.

    Every write of a document has a version of its own, so that a replacement that is not yet
    committed never overwrites the points of what it is about to replace.
    """
    return f"{document_id}#{version.hex[:16]}.{position:04d}"


def point_id(tenant_id: str, chunk: str) -> uuid.UUID:
    """The id of a chunk's point: UUIDv5 of (tenant, chunk id)."""
    # A chunk id holds no slash, so the last one parts the two without doubt.
    return uuid.uuid5(NAMESPACE, f"{tenant_id}/{chunk}")
