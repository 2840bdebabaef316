"""The gateway takes tokens that were issued for another audience."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[for another audience]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier.__init__

    def lenient(self, keys, *, audience, issuer):
        original(self, keys, audience=audience, issuer=issuer)
        self._registry = module.jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": issuer}, exp={"essential": True}
        )

    module.TokenVerifier.__init__ = lenient
