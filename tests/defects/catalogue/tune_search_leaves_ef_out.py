"""The measurement of a higher ef asks as before, so that it shows no gain and no cost."""

MODULE = "scripts.dayops.tuning"
CATCHES = "tune/ef::a_higher_ef_finds_more_and_its_cost_is_shown"
REASON = "raises it beyond the intervals"


def patch(module):
    original = module.Bench.measure

    def always_short(self, ef, questions):
        return original(self, 10, questions)

    module.Bench.measure = always_short
