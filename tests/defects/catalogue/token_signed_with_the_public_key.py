"""A token that is signed with the published key as a shared secret, in the PEM form in which
libraries hand it over, is accepted."""

import hashlib
import hmac
import json

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::a_forged_token_opens_nothing[HS256 with the public key's PEM as secret]"
REASON = "every endpoint refuses"


def patch(module):
    original = module.TokenVerifier._verified

    async def confused(self, token):
        head, body, signature = ([*token.split("."), "", ""])[:3]
        if module._header_of(token).get("alg") == "HS256":
            for found in self._keys._keys.values():
                secret = found.key.as_pem(private=False)
                told = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
                if hmac.compare_digest(told, module.urlsafe_b64decode(signature.encode())):
                    return json.loads(module.urlsafe_b64decode(body.encode()))
        return await original(self, token)

    module.TokenVerifier._verified = confused
