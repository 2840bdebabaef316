"""An unknown id is answered with the statement that did not find it."""

MODULE = "refstack.gateway.routes"
CATCHES = "isolation/side-channels::errors_and_traces_tell_nothing_of_others"
REASON = "nothing of the inside"


def patch(module):
    module._no_such_document = lambda: module.Problem(
        404, "SELECT * FROM public.documents WHERE document_id = %s gave no row."
    )
