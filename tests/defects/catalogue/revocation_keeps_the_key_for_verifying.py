"""A key that others know is kept for verifying, as in an orderly rotation, and nobody looks."""

MODULE = ["scripts.rotation.keyset", "scripts.rotation.looking"]
CATCHES = "security/jwt-rotation::a_key_that_others_know_is_worth_nothing_at_once"
REASON = "from then on its tokens are refused everywhere"


def patch(module):
    if module.__name__.endswith("keyset"):
        module.KeySet.without = lambda self, kid: self
        return
    module.Looking.wait_published = lambda self, *, with_kids, without=(): None
    module.Looking.wait_known = lambda self, key, *, known: None
