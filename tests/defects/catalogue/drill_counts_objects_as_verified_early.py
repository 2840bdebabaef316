"""The drill's record has the objects of the backup as verified before anything was verified."""

MODULE = "fixtures.drill_steps"
CATCHES = "recovery/rto::a_drill_that_fails_tells_what_happened_and_as_much_as_any_other"
REASON = "no object counts as verified"


def patch(module):
    original = module.Rehearsed.objects
    module.Rehearsed.objects = lambda self, *, verified: original(self, verified=True)
