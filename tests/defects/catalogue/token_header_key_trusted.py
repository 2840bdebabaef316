"""The gateway verifies a token with the key that the token itself hands along."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[key handed along in the header]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier._verified

    async def trusting(self, token):
        handed = module._header_of(token).get("jwk")
        if handed:
            key = module.ECKey.import_key(handed)
            return module.jwt.decode(token, key, algorithms=["ES256"]).claims
        return await original(self, token)

    module.TokenVerifier._verified = trusting
