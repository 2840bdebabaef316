"""The moment that was asked for never reaches the recovery, which goes to the end of the log."""

MODULE = "scripts.dayops.recovery"
CATCHES = "recovery/point-in-time::both_stores_come_back_as_of_a_moment"
REASON = "no document written after the moment"


def patch(module):
    original = module.Base.recovered

    def to_the_end(self, programs, user, place, *, with_log, until=None):
        return original(self, programs, user, place, with_log=with_log)

    module.Base.recovered = to_the_end
