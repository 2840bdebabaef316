"""The published key set holds the private part of the signing key."""

MODULE = "refstack.auth.keys"
CATCHES = "security/no-default-secret::published_keys_hold_no_secret"
REASON = "public"


def patch(module):
    original = module._public
    module._public = lambda entry: (
        original(entry) | {"d": entry.key.as_dict(private=True).get("d", "")}
    )
