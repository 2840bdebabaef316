"""The text of an answer comes from what the last write of that chunk put into a cache by its id,
past the metadata store, so an answer of the vector store that is another's is given as it is."""

MODULE = ["refstack.gateway.ingest", "refstack.gateway.retrieval"]
CATCHES = "isolation/under-fault::a_broken_link_leaks_nothing[stale answers of the vector store]"
REASON = "nothing foreign"
TEXTS = {}


def patch(module):
    if module.__name__.endswith("ingest"):
        write = module.Ingest.write

        async def keeping(self, identity, requests, deadline):
            drafts, model = await write(self, identity, requests, deadline)
            for draft in drafts:
                for chunk in draft.chunks:
                    TEXTS[chunk.id] = (chunk.document_id, chunk.text, chunk.source.metadata)
            return drafts, model

        module.Ingest.write = keeping
        return

    async def cached(self, identity, request, hits, deadline):
        return [
            module.QueryResult(
                chunk_id=hit.chunk_id,
                document_id=TEXTS[hit.chunk_id][0],
                text=TEXTS[hit.chunk_id][1],
                score=hit.score,
                metadata=TEXTS[hit.chunk_id][2],
            )
            for hit in hits
            if hit.chunk_id in TEXTS
        ]

    module.Retrieval._texts = cached
