"""While a part is away the gateway answers with a bare line of text instead of a problem."""

MODULE = "refstack.gateway.app"
CATCHES = "api/schemas::an_answer_of_a_service_in_trouble_is_described_too"
REASON = "as described.*content type"


def patch(module):
    async def in_words(request, error):
        text = b"upstream unavailable"
        return module.Response(text, 503, headers={"Retry-After": "3"}, media_type="text/plain")

    module._on_upstream_error = in_words
