"""A token of any role is taken for a customer's, that of the public page among them."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[of the anonymous role]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier._identity
    module.TokenVerifier._identity = staticmethod(
        lambda claims: original({**claims, "role": "authenticated"})
    )
