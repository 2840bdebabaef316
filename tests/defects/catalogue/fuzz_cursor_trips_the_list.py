"""The gateway takes every cursor for one of its own, and falls over those that are not."""

import base64

MODULE = "refstack.gateway.catalogue"
CATCHES = "isolation/query::no_generated_request_gets_a_foreign_answer_or_a_wrong_one"
REASON = "server error"


def patch(module):
    module.decode_cursor = lambda cursor: base64.b64decode(cursor, validate=True).decode("ascii")
