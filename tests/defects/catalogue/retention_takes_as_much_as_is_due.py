"""The retention prune takes whatever is due, be it everything there is."""

MODULE = "scripts.retention.policy"
CATCHES = "maintain/retention-prune::absurd_input_is_refused_and_removes_nothing"
REASON = "more than its share is refused"


def patch(module):
    module.refuse_too_many = lambda due, documents, share, *, really: None
