"""The review rounds its times to whole minutes, as a person does who writes from memory."""

MODULE = "reports.review"
CATCHES = "playbook/review::the_review_of_an_incident_is_filled_and_true"
REASON = "is when it happened"


def patch(module):
    original = module._clock
    module._clock = lambda arm, at: original(arm, at)[:5] + ":00.0"
