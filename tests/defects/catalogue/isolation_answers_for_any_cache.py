"""Answers say that caches between may keep them for everybody."""

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::no_cache_between_may_keep_an_answer"
REASON = "for nobody else"


def patch(module):
    module._NO_STORE["Cache-Control"] = "public, max-age=30"
