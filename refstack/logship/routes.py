"""Where the log of each process goes: its tenant and its labels (operations guide, 3.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

RAG = "rag"
METADATA = "metadata"
VECTORDB = "vectordb"
PLATFORM = "platform"
TENANTS = (RAG, METADATA, VECTORDB, PLATFORM)
"""Gateway and reranker share one; what may hold people's data has a tenant of its own."""

_COLOUR = re.compile(r"gateway-[a-z0-9]+")


@dataclass(frozen=True)
class Destination:
    """A tenant (`X-Scope-OrgID`) and the labels of a process's stream."""

    tenant: str
    labels: tuple[tuple[str, str], ...]


def destination(process: str) -> Destination:
    """Where the log of a process goes, by the name of its file without `.log`."""
    role = "gateway" if _COLOUR.fullmatch(process) else process
    if role in ("gateway", "rerank"):
        return _to(RAG, RAG, role, process)
    if role in ("metadata", "auth", "migrate"):
        # Supabase is PostgreSQL and the auth service; the deployment job speaks of its schema.
        return _to(METADATA, METADATA, role, process)
    if role == "vectordb":
        return _to(VECTORDB, VECTORDB, role, process)
    return _to(PLATFORM, role, role, process)


def _to(tenant: str, app: str, role: str, process: str) -> Destination:
    return Destination(tenant, (("app", app), ("process", process), ("role", role)))
