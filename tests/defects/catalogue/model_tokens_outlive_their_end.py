"""The gateway verifies each token once and knows it again as long as it runs, also past its end."""

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/under-fault::no_history_with_upheavals_shows_what_the_model_hides"
REASON = "instead of 401"


def patch(module):
    original, known = module.TokenVerifier.identify, {}

    async def identify(self, authorization):
        if authorization not in known:
            known[authorization] = await original(self, authorization)
        return known[authorization]

    module.TokenVerifier.identify = identify
