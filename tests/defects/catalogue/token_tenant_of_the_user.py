"""The tenant is taken from `user_metadata`, which users write themselves, where it names one."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::only_the_tenant_that_auth_gave_counts"
REASON = "nothing foreign"


def patch(module):
    original = module.TokenVerifier._identity

    def believing(claims):
        own = claims.get("user_metadata")
        if isinstance(own, dict) and "tenant_id" in own:
            claims = {**claims, "app_metadata": {**claims["app_metadata"], **own}}
        return original(claims)

    module.TokenVerifier._identity = staticmethod(believing)
