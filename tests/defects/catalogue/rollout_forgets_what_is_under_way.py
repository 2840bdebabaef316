"""A roll-out that was killed is not remembered: the next run takes the new gateway for the old."""

MODULE = "scripts.dayops.rollout_memory"
CATCHES = "rollout/blue-green::a_roll_out_that_is_killed_at_any_step_goes_on_when_it_is_run_again"
REASON = "another run ends with the new gateway alone"


def patch(module):
    original = module.Keeper.save

    def at_its_end(self, memory):
        if memory.under_way is None:
            original(self, memory)

    module.Keeper.save = at_its_end
