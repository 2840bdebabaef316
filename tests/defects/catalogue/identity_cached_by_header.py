"""The gateway caches verified identities under the first part of the token, which is the same
for every user."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
REASON = "foreign marker|200"


def patch(module):
    original = module.TokenVerifier.identify
    known = {}

    async def cached(self, authorization):
        head = (authorization or "").split(".")[0]
        if head not in known:
            known[head] = await original(self, authorization)
        return known[head]

    module.TokenVerifier.identify = cached
