"""The gateway believes whatever points the vector store answers with, and reads their texts from a
cache that goes by the chunk's id alone."""

MODULE = ["refstack.gateway.vectors", "refstack.gateway.retrieval"]
CATCHES = "isolation/under-fault::a_broken_link_leaks_nothing[stale answers of the vector store]"
REASON = "nothing foreign"


def patch(module):
    if module.__name__.endswith("vectors"):
        result = module.VectorStore._result

        async def believed(self, method, path, body, deadline, timeout_s):
            found = await result(self, method, path, body, deadline, timeout_s)
            if path.endswith("/points/query"):
                asked = {each["key"]: each["match"]["value"] for each in body["filter"]["must"]}
                for point in found["points"]:
                    for name in ("tenant_id", "persona"):
                        point["payload"][name] = asked[name]
            return found

        module.VectorStore._result = believed
        return
    texts = module.Retrieval._texts
    cache = {}

    async def cached(self, identity, request, hits, deadline):
        for each in await texts(self, identity, request, hits, deadline):
            cache[each.chunk_id] = each
        return [cache[hit.chunk_id] for hit in hits if hit.chunk_id in cache]

    module.Retrieval._texts = cached
