"""While some role is down no other page is told, not even that data was lost."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::nothing_makes_a_page_late_or_mute"
REASON = "no other alert mutes a page"
INHIBIT = """
inhibit_rules:
  - source_matchers: ['alertname="RAG_Role_Down"']
    target_matchers: ['severity="page"']
"""


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale) + INHIBIT
