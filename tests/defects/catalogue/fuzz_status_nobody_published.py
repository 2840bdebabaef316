"""The gateway answers for an absent document with a status that its description does not have."""

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/query::no_generated_request_gets_a_foreign_answer_or_a_wrong_one"
REASON = "undocumented|status code"


def patch(module):
    module._no_such_document = lambda: module.Problem(410, "There is no such document.")
