"""The gateway reads the claims of a token without verifying its signature."""

import base64
import json

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[signed with a foreign key]"
REASON = "every endpoint refuses"


def patch(module):
    async def believing(self, token):
        try:
            part = token.split(".")[1]
            return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (ValueError, IndexError):
            raise module.unauthorized("The token is not readable.") from None

    module.TokenVerifier._verified = believing
