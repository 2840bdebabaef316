"""The search filters by persona and no longer by tenant, and what comes back foreign is dropped
afterwards without looking further: nothing leaks, but foreign documents take the places of own
ones."""

MODULE = ["refstack.gateway.vectors", "refstack.gateway.retrieval"]
CATCHES = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
REASON = "foreign ones took no place"


def patch(module):
    if module.__name__.endswith("vectors"):
        original = module.search_filter
        module.search_filter = lambda tenant_id, persona, wanted: {
            "must": original(tenant_id, persona, wanted)["must"][1:]
        }
    else:
        module.RERANK_CANDIDATES = 4
        module.MOST_HITS = 1
