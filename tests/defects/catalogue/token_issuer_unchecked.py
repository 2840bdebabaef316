"""The gateway takes tokens of any issuer, as long as the key fits."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[from another issuer]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier.__init__

    def lenient(self, keys, *, audience, issuer):
        original(self, keys, audience=audience, issuer=issuer)
        self._registry = module.jwt.JWTClaimsRegistry(
            aud={"essential": True, "value": audience}, exp={"essential": True}
        )

    module.TokenVerifier.__init__ = lenient
