"""The tenant's name is brought into its compatible form and trimmed before it is used, so that a
tenant whose name only looks like another's is taken for it."""

import dataclasses
import unicodedata

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_tenant_that_looks_like_another_is_not_it"
REASON = "nothing foreign"


def patch(module):
    original = module.TokenVerifier.identify

    async def normalised(self, authorization):
        identity = await original(self, authorization)
        name = unicodedata.normalize("NFKC", identity.tenant_id).strip()
        return dataclasses.replace(identity, tenant_id=name)

    module.TokenVerifier.identify = normalised
