"""The gateway adds to the signing keys it knows and never lets one go."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/under-fault::retired_keys_open_nothing"
REASON = "old one is refused"


def patch(module):
    original = module.read_keys
    known = {}

    def hoarding(document):
        known.update(original(document))
        return dict(known)

    module.read_keys = hoarding
