"""The night rota's phone is the weekday primary's: at night the one rung is off duty."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/escalation-order::nothing_makes_a_page_late_or_mute"
REASON = "leads to somebody else"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        f"{pager}/solo-ops", f"{pager}/weekday-primary"
    )
