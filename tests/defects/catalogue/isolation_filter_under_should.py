"""The search's conditions are merged under `should`, so that one of them is enough: foreign points
take the places of own ones, although their text is held back later."""

MODULE = "refstack.gateway.vectors"
CATCHES = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
REASON = "took no place"


def patch(module):
    original = module.search_filter
    module.search_filter = lambda tenant_id, persona, wanted: {
        "should": original(tenant_id, persona, wanted)["must"]
    }
