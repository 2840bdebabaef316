"""The canary is drawn for a fifth of the queries that it was given."""

MODULE = "refstack.gateway.spaces"
CATCHES = "embed/canary-share::a_tenth_of_the_queries_goes_to_the_canary_and_says_so"
REASON = "share of the canary"


def patch(module):
    original = module.draw_canary

    def seldom(share, asked, chance=module.random.random):
        return original(share / 5, asked, chance)

    module.draw_canary = seldom
