"""The alert summary asks for what fires now, so what fired and ended overnight is not in it."""

MODULE = "scripts.dayops.alert_history"
CATCHES = "maintain/alert-summary::lists_what_fired_and_what_it_led_to"
REASON = "summary names the alert"


def patch(module):
    original = module.fired

    def still_firing(points, step, until):
        return [each for each in original(points, step, until) if each.ongoing]

    module.fired = still_firing
