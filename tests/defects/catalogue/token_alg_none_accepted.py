"""The gateway lets the token's own header say that it needs no signature."""

import base64
import json

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[alg none]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier._verified

    async def trusting(self, token):
        if module._header_of(token).get("alg") == "none":
            part = token.split(".")[1]
            return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return await original(self, token)

    module.TokenVerifier._verified = trusting
