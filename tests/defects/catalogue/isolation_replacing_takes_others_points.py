"""A write removes the points of the document that it replaces, by the document's id alone."""

MODULE = "refstack.gateway.vectors"
CATCHES = "isolation/write::writing_under_a_foreign_id_overwrites_nothing"
REASON = "as they were.*not found by its own text"


def patch(module):
    upsert = module.VectorStore.upsert

    async def replacing(self, collection, points, deadline):
        documents = sorted({point.payload["document_id"] for point in points})
        body = {"filter": {"must": [{"key": "document_id", "match": {"any": documents}}]}}
        await self._write("POST", f"/collections/{collection}/points/delete", body, deadline)
        await upsert(self, collection, points, deadline)

    module.VectorStore.upsert = replacing
