"""The drill's record has durations in whole minutes, as whoever fills it in from memory."""

MODULE = "fixtures.drill_steps"
CATCHES = "recovery/rto::a_drill_that_fails_tells_what_happened_and_as_much_as_any_other"
REASON = "has the times at which it was"


def patch(module):
    original = module.Drill._tell

    def about(self, name, state, seconds, detail):
        original(self, name, state, 60.0 * (seconds // 60 + 1), detail)

    module.Drill._tell = about
