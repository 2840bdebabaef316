"""The gateway takes a well-known key for a token: a door of its development that was left open."""

MODULE = "refstack.gateway.tokens"
CATCHES = "security/no-default-secret::gateway_needs_a_token"
REASON = "attempts is refused.*changeme"


def patch(module):
    original = module.TokenVerifier._verified

    async def open_door(self, token):
        if token == "changeme":
            return {
                "sub": "developer",
                "role": "authenticated",
                "app_metadata": {"tenant_id": "development", "personas": ["work"]},
            }
        return await original(self, token)

    module.TokenVerifier._verified = open_door
