"""The vector store takes any key."""

MODULE = "refstack.vectordb.auth"
CATCHES = "security/no-default-secret::vector_store_needs_its_key[/collections]"
REASON = "missing or default"


def patch(module):
    async def anyone(self, path, headers):
        return module.FULL

    module.Authenticator.access = anyone
