"""The drill's record calls a step done that failed, and keeps quiet about why."""

MODULE = "fixtures.drill_steps"
CATCHES = "recovery/rto::a_drill_that_fails_tells_what_happened_and_as_much_as_any_other"
REASON = "which steps were done and which failed"


def patch(module):
    original = module.Drill._tell

    def rosy(self, name, state, seconds, detail):
        original(self, name, "done", seconds, {})

    module.Drill._tell = rosy
