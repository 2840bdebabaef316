"""Reading documents back, one or page by page, under the asker's claims."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from refstack.common.problems import Problem
from refstack.gateway.deadline import Deadline
from refstack.gateway.metadata import MetadataStore, Row, Statement
from refstack.gateway.models import Document, DocumentList, DocumentSummary, ListParameters
from refstack.gateway.tokens import Identity

_COLUMNS = (
    "d.document_id, d.persona, d.tier, d.metadata, d.embed_model, d.content_sha256, d.ingested_at,"
    " (SELECT count(*) FROM public.chunks c WHERE c.tenant_id = d.tenant_id"
    "  AND c.document_id = d.document_id)"
)


def _fields(row: Row) -> dict[str, Any]:
    names = ("document_id", "persona", "tier", "metadata", "embed_model", "content_sha256")
    return {**dict(zip(names, row, strict=False)), "ingested_at": row[6], "chunks": row[7]}


def encode_cursor(document_id: str) -> str:
    """A cursor that stands for the page after this document."""
    return base64.urlsafe_b64encode(document_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The document id in a cursor. Raises `Problem` 422 for what is no cursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        document_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        document_id = ""
    if not document_id.isprintable() or not document_id:
        raise Problem(422, "The cursor is none that this service gave out.")
    return document_id


class Catalogue:
    """What is stored, as far as an identity may see it. All methods raise `UpstreamError`."""

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata

    async def get(
        self, identity: Identity, document_id: str, deadline: Deadline
    ) -> Document | None:
        """One document with its text; None for an absent and for a foreign one alike."""
        statement = Statement(
            f"SELECT {_COLUMNS}, d.body FROM public.documents d"
            " WHERE d.tenant_id = %s AND d.persona = ANY (%s::text[]) AND d.document_id = %s",
            (identity.tenant_id, list(identity.personas), document_id),
        )
        rows = (await self._metadata.as_identity(identity, [statement], deadline))[0]
        return Document(**_fields(rows[0]), text=rows[0][8]) if rows else None

    async def page(
        self, identity: Identity, parameters: ListParameters, deadline: Deadline
    ) -> DocumentList:
        """One page of documents in the order of their ids.

        Raises `Problem` 422 for a cursor that is none.
        """
        personas = [parameters.persona] if parameters.persona else list(identity.personas)
        after = decode_cursor(parameters.cursor) if parameters.cursor else ""
        statement = Statement(
            f"SELECT {_COLUMNS} FROM public.documents d"
            " WHERE d.tenant_id = %s AND d.persona = ANY (%s::text[])"
            ' AND d.document_id COLLATE "C" > %s'
            ' ORDER BY d.document_id COLLATE "C" LIMIT %s',
            (identity.tenant_id, personas, after, parameters.limit + 1),
        )
        rows = (await self._metadata.as_identity(identity, [statement], deadline))[0]
        shown = [DocumentSummary(**_fields(row)) for row in rows[: parameters.limit]]
        more = len(rows) > parameters.limit
        return DocumentList(
            documents=shown, next_cursor=encode_cursor(shown[-1].document_id) if more else None
        )
