"""Office hours are read at a fixed two hours ahead of UTC, which is wrong from October to March."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/route-by-hours::every_hour_has_one_owner"
REASON = "exactly the one on call.*CET"


def patch(module):
    original = module.alertmanager_config
    module.alertmanager_config = lambda pager, scale: original(pager, scale).replace(
        "location: Europe/Berlin", "location: Etc/GMT-2"
    )
