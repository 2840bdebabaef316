"""The night and weekend rota is rung at every hour, beside the weekday primary."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/route-by-hours::a_page_rings_whoever_is_on_call_at_that_hour"
REASON = "nobody else is rung"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        "      mute_time_intervals: [office-hours]\n", ""
    )
