"""The alert summary tells minutes where it says seconds: everything was over at once."""

MODULE = "scripts.dayops.alert_history"
CATCHES = "maintain/alert-summary::lists_what_fired_and_what_it_led_to"
REASON = "for how long it fired"


def patch(module):
    module.Firing.seconds = property(lambda self: (self.ended - self.began) / 60)
