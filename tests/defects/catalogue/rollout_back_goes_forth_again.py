"""A second roll-back rolls out again what the first one took back."""

MODULE = "scripts.dayops.rollout_memory"
CATCHES = "rollout/rollback::the_roll_back_brings_the_old_gateway_back_with_no_failed_request"
REASON = "does not roll what was taken back out again"


def patch(module):
    original = module.Memory.settle

    def both_ways(self):
        replaced = self.release
        original(self)
        self.taken_back, self.former = None, replaced

    module.Memory.settle = both_ways
