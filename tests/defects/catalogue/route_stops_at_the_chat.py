"""The chat's route does not continue, so no phone is ever rung."""

MODULE = "harness.drivers.embedded.metrics"
CATCHES = "oncall/route-by-hours::every_hour_has_one_owner"
REASON = "rings nobody"


def patch(module):
    original = module.alertmanager_config

    def stops(pager, scale):
        return original(pager, scale).replace(
            "      receiver: chat\n      continue: true\n", "      receiver: chat\n", 1
        )

    module.alertmanager_config = stops
