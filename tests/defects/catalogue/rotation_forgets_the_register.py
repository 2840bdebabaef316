"""The rotation does not say in the register that there is a new key, so its age goes on."""

MODULE = "scripts.rotation.files"
CATCHES = "security/jwt-rotation::no_request_fails_while_the_key_changes"
REASON = "age begins anew"


def patch(module):
    module.Register.record = lambda self, key, kind, made: None
