"""The alert summary tells a night that Prometheus knows nothing of as a quiet one."""

MODULE = "scripts.dayops.alert_history"
CATCHES = "maintain/alert-summary::lists_what_fired_and_what_it_led_to"
REASON = "what it can't know is not told as a quiet time"


def patch(module):
    module.unwatched = lambda beats, since, until: []
