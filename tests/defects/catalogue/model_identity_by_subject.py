"""The gateway knows a user again by the subject of the token, valid or not."""

import base64
import json

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/query::no_history_of_requests_shows_what_the_model_hides"
REASON = "401"


def patch(module):
    original, known = module.TokenVerifier.identify, {}

    async def identify(self, header):
        payload = (header or "").split(".")[1:2]
        subject = json.loads(base64.urlsafe_b64decode(payload[0] + "==="))["sub"] if payload else ""
        if subject not in known:
            known[subject] = await original(self, header)
        return known[subject]

    module.TokenVerifier.identify = identify
