"""The gateway verifies the signature of a token and never looks at its times."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[expired]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier.__init__

    def lenient(self, keys, *, audience, issuer):
        original(self, keys, audience=audience, issuer=issuer)
        self._registry.validate = lambda claims: None

    module.TokenVerifier.__init__ = lenient
