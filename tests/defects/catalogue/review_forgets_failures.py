"""The review counts as failed only what was never answered: an incident in which every request is
answered with an error looks harmless."""

import dataclasses
import math

MODULE = "reports.impact"
CATCHES = "playbook/review::the_review_of_an_incident_is_filled_and_true"
REASON = "counts the failed requests as they were"


def patch(module):
    original = module.impact_of

    def forgiving(run, arm, limit):
        unanswered = sum(sample.seconds == math.inf for sample in arm.samples)
        return dataclasses.replace(original(run, arm, limit), failed=unanswered)

    module.impact_of = forgiving
