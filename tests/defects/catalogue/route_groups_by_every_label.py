"""Notices are grouped by every label, so one trouble of two stores is told twice."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "monitor/alert-delivered::alerts_come_with_their_cause_and_go_with_it"
REASON = "concerns two stores comes in one notice"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        "group_by: [alertname]", "group_by: ['...']"
    )
