"""The rotation lets the old signing key go as the new one begins to sign, as upstream's does."""

MODULE = "scripts.rotation.keyset"
CATCHES = "security/jwt-rotation::no_request_fails_while_the_key_changes"
REASON = "no request fails"


def patch(module):
    original = module.KeySet.signing_with

    def alone(self, kid):
        return original(self, kid).without(self.signer["kid"])

    module.KeySet.signing_with = alone
